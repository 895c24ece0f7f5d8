"""The files of the revisions are one line, or a message that names those that are not."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acme_service.chassis.database.revisions import newest_revision, revisions
from acme_service.chassis.errors import ConfigurationError


def write(folder: Path, name: str, follows: str | None, revision: str | None = None) -> None:
    folder.mkdir(exist_ok=True)
    text = f"revision = {revision or name[:4]!r}\ndown_revision: str | None = {follows!r}\n"
    (folder / name).write_text(text)


@pytest.fixture
def versions(tmp_path: Path) -> Path:
    write(tmp_path / "versions", "0001_create.py", None)
    write(tmp_path / "versions", "0002_add_phone.py", "0001")
    return tmp_path / "versions"


def rejected(versions: Path) -> str:
    with pytest.raises(ConfigurationError) as raised:
        newest_revision(versions)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_revisions_are_read_in_their_order(versions: Path) -> None:
    (versions / "__init__.py").touch()
    (versions / ".gitkeep").touch()
    (versions / "__pycache__").mkdir()
    write(versions, "0007_after_some_were_dropped.py", "0002")

    assert ["0001", "0002", "0007"] == [each.number for each in revisions(versions)]
    assert "0007" == newest_revision(versions)


def test_two_revisions_with_one_number_are_named_with_how_to_renumber(versions: Path) -> None:
    write(versions, "0002_add_city.py", "0001")
    write(versions, "0003_fill_phone.py", "0002")
    message = rejected(versions)

    assert "0002_add_city.py and 0002_add_phone.py" in message
    assert '0004_add_phone.py, and write revision = "0004" and down_revision = "0003"' in message


def test_two_heads_are_named_with_how_to_renumber(versions: Path) -> None:
    write(versions, "0003_add_city.py", "0001")
    message = rejected(versions)

    assert "0002_add_phone.py and 0003_add_city.py both follow '0001'" in message
    assert 'write down_revision = "0002"' in message


@pytest.mark.parametrize(
    ("name", "follows", "revision", "said"),
    [
        ("0003_x.py", "0002", "0004", "0003_x.py declares revision = '0004'"),
        ("0003_x.py", "0009", None, "0003_x.py follows '0009'"),
        ("0003_x.py", None, None, "0001_create.py and 0003_x.py both follow None"),
        ("0000_x.py", None, None, "0000_x.py: 0000 stands for no revision"),
        ("add_city.py", "0002", None, "add_city.py in "),
        ("003_add_city.py", "0002", None, "003_add_city.py in "),
        ("0003-add-city.py", "0002", None, "0003-add-city.py in "),
        ("0003_add_city.py.orig", "0002", None, "0003_add_city.py.orig in "),
        ("0003_add_city.PY", "0002", None, "0003_add_city.PY in "),
        ("00003_add_city.py", "0002", None, "00003_add_city.py in "),
        ("0003.py", "0002", None, "0003.py in "),
        ("\N{ARABIC-INDIC DIGIT ZERO}003_x.py", "0002", None, "003_x.py in "),
    ],
)
def test_a_file_out_of_line_is_rejected_by_name(
    versions: Path, name: str, follows: str | None, revision: str | None, said: str
) -> None:
    write(versions, name, follows, revision)

    assert said in rejected(versions)


def test_a_folder_among_them_is_rejected_by_name(versions: Path) -> None:
    (versions / "0003_more.py").mkdir()

    assert "0003_more.py in " in rejected(versions)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"<<<<<<< HEAD\nrevision = '0003'\n", "0003_x.py cannot be read at line 1"),
        (b"# \xff\nrevision = '0003'\n", "0003_x.py cannot be read"),
        (b"revision = '0003'\0", "0003_x.py cannot be read"),
        (b"", "0003_x.py declares revision = None"),
        (b"revision = str(3)\ndown_revision = '0002'", "0003_x.py declares revision = None"),
        (b"revision = '0003'\ndown_revision = ('0001', '0002')", "0003_x.py follows ('0001', '0002')"),
    ],
)
def test_a_file_that_is_no_revision_is_rejected_by_name(versions: Path, content: bytes, said: str) -> None:
    (versions / "0003_x.py").write_bytes(content)

    assert said in rejected(versions)


def test_a_folder_without_a_revision_is_rejected(tmp_path: Path) -> None:
    assert "no revision in" in rejected(tmp_path)
    assert "No such file" in rejected(tmp_path / "missing")


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.data())
def test_what_is_accepted_is_one_line(
    tmp_path_factory: pytest.TempPathFactory, numbers: list[int], data: object
) -> None:
    """Whatever follows whatever: either every file follows the one before it, or one of them is named."""
    folder = tmp_path_factory.mktemp("versions")
    known = [None, *(f"{number:04}" for number in numbers)]
    follows = {}
    for position, number in enumerate(numbers):
        name = f"{number:04}_{'abcdef'[position]}.py"
        follows[name] = data.draw(st.sampled_from(known))  # type: ignore[attr-defined]
        write(folder, name, follows[name])
    try:
        found = revisions(folder)
    except ConfigurationError as error:
        assert any(name in str(error) for name in follows)  # noqa: PT017 - one of two outcomes
        return

    assert sorted(follows) == [each.name for each in found]
    assert [None, *(each.number for each in found[:-1])] == [follows[each.name] for each in found]
