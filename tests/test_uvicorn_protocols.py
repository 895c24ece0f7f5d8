"""uvicorn's own tests of its protocols, put to ours, which are derived from them: a new uvicorn is no surprise."""

from __future__ import annotations

import re
import tarfile
from pathlib import Path

from conftest import TEMPLATE, UV, run

TESTS = TEMPLATE / "tests" / "chassis"
PROTOCOLS = ("tests/protocols/test_http.py", "tests/protocols/test_websocket.py")
LEAST_PASSED = 100


def test_the_server_passes_the_tests_of_uvicorn_but_for_the_differences_that_are_listed(
    project: Path, tmp_path: Path
) -> None:
    """The differences, each with its reason, are in `tests/chassis/uvicorn_suite`; one that is none fails as well."""
    python = str(project / ".venv" / "bin" / "python")
    tools = ["--requirements", str(TESTS / "requirements.txt")]
    run([UV, "pip", "install", "--quiet", "--python", python, *tools], project)
    source = _source(_version(python, project), tmp_path)
    configuration = tmp_path / "pytest.ini"
    configuration.write_text("[pytest]\n")
    folders = [f"--rootdir={source}", f"--confcutdir={source}"]
    plugins = ["-p", "no:cacheprovider", "-p", "chassis.uvicorn_suite.adapter"]

    summary = run(
        [python, "-m", "pytest", "-q", "-c", str(configuration), *folders, *plugins, *PROTOCOLS],
        source,
        PYTHONPATH=f"{TESTS.parent}:{source}",
    )

    passed = re.search(r"\b(\d+) passed\b", summary)
    assert passed, summary
    assert LEAST_PASSED <= int(passed[1]), summary


def _version(python: str, project: Path) -> str:
    return run([python, "-c", "import uvicorn; print(uvicorn.__version__)"], project).strip()


def _source(version: str, folder: Path) -> Path:
    """The unpacked source distribution of uvicorn, which holds its tests; its wheel does not."""
    name = f"uvicorn-{version}"
    chosen = ["--no-deps", "--no-binary", ":all:", "--dest", str(folder), f"uvicorn=={version}"]
    run([UV, "tool", "run", "--from", "pip", "pip", "download", "--quiet", *chosen], folder)
    with tarfile.open(folder / f"{name}.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    return folder / name
