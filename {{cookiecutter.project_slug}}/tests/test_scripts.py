from __future__ import annotations

import re
import stat
import tomllib
from pathlib import Path

from scripts import make_env, upgrade

PROJECT = Path(__file__).parents[1]


def test_a_new_env_file_is_private_and_every_secret_in_it_is_fresh(tmp_path: Path) -> None:
    example = tmp_path / ".env.example"
    example.write_text("# A=generate:32\nA=generate:32\nB=generate:32\nC=plain\n", encoding="utf-8")

    assert make_env.main(example, tmp_path / "one") == 0
    assert make_env.main(example, tmp_path / "two") == 0

    one, two = ((tmp_path / name).read_text(encoding="utf-8").splitlines() for name in ("one", "two"))
    assert stat.S_IMODE((tmp_path / "one").stat().st_mode) == 0o600
    assert ["# A=generate:32", "C=plain"] == [one[0], one[3]]
    assert len({one[1][2:], one[2][2:], two[1][2:], two[2][2:]}) == 4
    assert all(re.fullmatch(r"[AB]=[\w-]{43}", line) for line in (*one[1:3], *two[1:3]))


def test_an_env_file_that_exists_is_left_alone(tmp_path: Path) -> None:
    example, target = tmp_path / ".env.example", tmp_path / ".env"
    example.write_text("A=1\n", encoding="utf-8")
    target.write_text("A=mine\n", encoding="utf-8")

    assert make_env.main(example, target) == 1
    assert target.read_text(encoding="utf-8") == "A=mine\n"


def test_renewed_pins_replace_the_old_ones_and_nothing_else() -> None:
    before = (PROJECT / "pyproject.toml").read_text(encoding="utf-8")
    after = upgrade.with_pins(before, ["alpha==1.2", "beta==3 ; python_full_version < '3.12'"], ["hatchling==9"])

    old, new = tomllib.loads(before), tomllib.loads(after)
    assert new["tool"]["uv"].pop("constraint-dependencies") == ["alpha==1.2", "beta==3 ; python_full_version < '3.12'"]
    assert new["tool"]["uv"].pop("build-constraint-dependencies") == ["hatchling==9"]
    assert old["tool"]["uv"].pop("constraint-dependencies")
    assert old["tool"]["uv"].pop("build-constraint-dependencies")
    assert old == new


def test_a_marker_is_kept_only_where_it_chooses_between_versions() -> None:
    chosen = ["beta==2 ; python_version < '3.12'", "beta==3 ; python_version >= '3.12'"]

    assert ["alpha==1", *chosen] == upgrade.merged(["alpha==1 ; sys_platform == 'win32'", *chosen])


def test_an_upgrade_tells_what_changed_came_and_went() -> None:
    before, after = ["kept==1", "moved==1", "gone==1"], ["kept==1", "moved==2", "new==1"]

    assert ["gone: 1 -> removed", "moved: 1 -> 2", "new: new -> 1"] == upgrade.differences(before, after)
