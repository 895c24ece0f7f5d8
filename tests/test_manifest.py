"""The chassis carries what an update and its owner have to know of it, and it is true."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Render

from tools.manifest import CHASSIS, FOLDERS, module, stale


def test_version_requirements_and_manifests_are_up_to_date() -> None:
    assert [] == [str(path.relative_to(CHASSIS)) for path in stale()], "make manifest"


def test_every_feature_with_a_folder_in_the_chassis_lists_it_itself() -> None:
    assert [folder for folder in FOLDERS if (CHASSIS / folder).is_dir()] == module()["features"](CHASSIS)


@pytest.mark.parametrize("profile", ["minimal", "full"])
def test_a_fresh_chassis_is_as_released(render: Render, profile: str) -> None:
    assert "" == _named(render(profile=profile))


def test_edited_missing_and_unlisted_files_are_named_and_nothing_fails(render: Render, tmp_path: Path) -> None:
    project = render(output=tmp_path, profile="full")
    chassis = project / "src/acme_service/chassis"
    (chassis / "auth/tokens.py").write_text('"""Ours."""\n')
    (chassis / "http/mounts.py").unlink()
    (chassis / "server/own.py").write_text('"""Ours."""\n')
    (chassis / "__pycache__").mkdir()
    (chassis / "__pycache__/x.pyc").touch()

    *named, advice = _named(project).splitlines()

    assert [
        "edited   chassis/auth/tokens.py",
        "missing  chassis/http/mounts.py",
        "unlisted chassis/server/own.py",
    ] == named
    assert "make chassis" in advice


def test_a_feature_without_its_manifest_is_unlisted(render: Render, tmp_path: Path) -> None:
    project = render(output=tmp_path, profile="full")
    (project / "src/acme_service/chassis/auth/MANIFEST").unlink()

    assert "unlisted chassis/auth/tokens.py\n" in _named(project)


def test_a_chassis_without_a_feature_has_no_line_of_it(render: Render) -> None:
    with_it, without = (render(profile=profile) / "src/acme_service/chassis" for profile in ("full", "minimal"))
    for folder in FOLDERS:
        shutil.rmtree(with_it / folder)

    names = {path.relative_to(with_it): path.read_bytes() for path in with_it.rglob("*") if path.is_file()}
    assert names == {path.relative_to(without): path.read_bytes() for path in without.rglob("*") if path.is_file()}


def _named(project: Path) -> str:
    """Return what `make check` prints of the chassis; no installed package is there for it."""
    command = [sys.executable, "-IB", "-c", _WITHOUT_PACKAGES, str(project / "src")]
    return subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout


_WITHOUT_PACKAGES = """
import runpy, sys
sys.path[:] = [sys.argv.pop(), *(path for path in sys.path if "site-packages" not in path)]
runpy.run_module("acme_service.chassis.manifest", run_name="__main__", alter_sys=True)
"""
