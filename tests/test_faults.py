"""What the service promises when something breaks, and the page that names a test for each promise."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import TEMPLATE, UV, make, run
from project import Project, running

PAGE = TEMPLATE / "docs" / "reliability.md"
SUITE = TEMPLATE / "tests" / "faults"
CONFIG = str(TEMPLATE / "tests" / "chassis" / "pyproject.toml")
SCENARIO = re.compile(r"make faults (LONG=1 )?ONLY=([a-z0-9-]+)")
TEST = re.compile(r"(tests/[a-z_/]+\.py)::(test_\w+)")
ROW = re.compile(r"^\| (?!promise|---)(.+?) \| (.+) \|$", re.MULTILINE)
EXAMPLES = 15
"""For each operation, besides those that are derived from the document's bounds."""
LEAVING = (
    "POST /api/auth/logout",
    "POST /api/auth/password",
    "PATCH /api/users/{user_id}",
    "DELETE /api/users/{user_id}",
)
"""What ends the session of an admin who does it to themselves: the requests after it are nobody's."""
WITH_THEM = ("POST /api/users", "GET /api/users/{user_id}")
CALLERS: dict[str, Callable[[str], list[str]]] = {
    "anonymous": lambda _token: [],
    "admin": lambda token: [f"-HAuthorization: {token}", *(f"--exclude-name={name}" for name in LEAVING)],
    "leaving admin": lambda token: [
        f"-HAuthorization: {token}",
        *(f"--include-name={name}" for name in (*LEAVING, *WITH_THEM)),
    ],
}
"""The options that make schemathesis each of them; the token is that of an admin."""


@pytest.fixture(scope="module")
def build(open_folder: Path) -> Path:
    """Where `make faults` renders and sets up its project."""
    folder = open_folder / "faults"
    make(TEMPLATE, "faults-render", f"BUILD={folder}")
    return folder


def test_what_the_service_promises_holds_under_faults(build: Path) -> None:
    """The short form; it prints what each scenario did and what held."""
    print(make(TEMPLATE, "faults", f"BUILD={build}"))  # noqa: T201 - for the report of a run that passes too


def test_the_fault_suite_is_linted_and_typed(build: Path) -> None:
    tools, folder = build / "acme-service" / ".venv" / "bin", str(SUITE.relative_to(TEMPLATE))
    for command in (["check"], ["format", "--check"]):
        run([str(tools / "ruff"), *command, "--no-cache", "--config", CONFIG, folder], TEMPLATE)
    render = build / "acme-service"
    variables = {"MYPYPATH": f"{render / 'src'}:{render}", "MYPY_CACHE_DIR": str(build / ".mypy_cache")}
    run([str(tools / "mypy"), "--config-file", CONFIG, "-p", SUITE.name], SUITE.parent, **variables)


@pytest.fixture(scope="module")
def schemathesis(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its command, in an environment that holds nothing else."""
    environment = tmp_path_factory.mktemp("schemathesis") / "environment"
    python = str(environment / "bin" / "python")
    run([UV, "venv", "--quiet", str(environment)], TEMPLATE)
    requirements = str(SUITE / "requirements.txt")
    run([UV, "pip", "sync", "--quiet", "--require-hashes", "--python", python, requirements], TEMPLATE)
    return environment / "bin" / "schemathesis"


@pytest.mark.parametrize("caller", ["anonymous", "admin", "leaving admin"])
def test_no_request_that_schemathesis_makes_finds_a_fault(
    project: Path, schemathesis: Path, tmp_path: Path, caller: str
) -> None:
    """Every operation of the document, with valid and invalid data, in sequences too; all of its checks."""
    with Project(project).deployed() as service:
        documented = service.environment | {"APP_ENV": "test", "JWT_EXPIRES_IN_SECONDS": "3600"}
        with running(service.command, documented) as server:
            command = [str(schemathesis), f"--config-file={SUITE / 'schemathesis.toml'}", "run"]
            options = ["--checks=all", "--seed=1", f"--max-examples={EXAMPLES}", "--continue-on-failure", "--no-color"]
            done = subprocess.run(
                [
                    *command,
                    f"http://127.0.0.1:{server.port}/openapi.json",
                    *options,
                    *CALLERS[caller](service.header.partition(": ")[2]),
                ],
                cwd=tmp_path,
                capture_output=True,
                text=True,
                check=False,
            )
    assert 0 == done.returncode, done.stdout + done.stderr
    assert caller != "admin" or "returned only 401/403" not in done.stdout, done.stdout


def test_every_promise_names_a_test_that_exists() -> None:
    promises = ROW.findall(PAGE.read_text("utf-8"))
    scenarios: dict[str, bool] = dict(_scenarios())

    assert len(promises) > 40
    for promise, test in promises:
        if scenario := SCENARIO.search(test):
            is_long, name = scenario.groups()
            assert scenarios.get(name) == bool(is_long), f"{promise}: {test}"
        else:
            path, function = TEST.findall(test)[0]
            assert function in _functions(TEMPLATE / path), f"{promise}: {test}"


def test_every_scenario_stands_for_a_promise() -> None:
    named = {name for _, name in SCENARIO.findall(PAGE.read_text("utf-8"))}

    assert named == dict(_scenarios()).keys()


def _scenarios() -> Iterator[tuple[str, bool]]:
    """The name of each scenario, and whether it belongs to the long form alone."""
    for path in (SUITE / "scenarios").glob("*.py"):
        for node in ast.parse(path.read_text("utf-8")).body:
            for mark in node.decorator_list if isinstance(node, ast.FunctionDef) else ():
                if ast.unparse(mark).endswith("scenario"):
                    assert isinstance(node, ast.FunctionDef)
                    yield node.name.replace("_", "-"), ast.unparse(mark) == "long_scenario"


def _functions(path: Path) -> set[str]:
    tree = ast.walk(ast.parse(path.read_text("utf-8")))
    return {node.name for node in tree if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
