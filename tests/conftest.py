"""What every test needs: renders into a temporary folder, and one rendered project that is set up."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Generator, Iterator, Mapping
from pathlib import Path

import pytest
from cookiecutter.main import cookiecutter
from hypothesis import settings
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

TEMPLATE = Path(__file__).parent.parent
# The uv that the Makefile found or installed, also where pytest was started without make.
UV = os.environ.get("UV") or shutil.which("uv") or str(TEMPLATE / ".tools" / "bin" / "uv")
PROJECT_FOLDER = TEMPLATE / "{{cookiecutter.project_slug}}"
GIT = ["git", "-c", "user.name=Test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false"]

# What a shell or an outer `make` may have set, and what would change what a project does.
FOREIGN_VARIABLES = frozenset(
    {
        "ARGS",
        "MAKEFLAGS",
        "MAKELEVEL",
        "MAKEOVERRIDES",
        "MFLAGS",
        "VIRTUAL_ENV",
        "PYTHONPATH",
        "PYTHONHOME",
        "COLUMNS",
        "GIT_DIR",
        "GIT_WORK_TREE",
        "GIT_INDEX_FILE",
        "PYTEST_ADDOPTS",
        "PYTEST_CURRENT_TEST",
        "PYTEST_XDIST_TESTRUNUID",
        "PYTEST_XDIST_WORKER",
        "PYTEST_XDIST_WORKER_COUNT",
    },
)
SETTINGS_PREFIXES = (
    *("AI_", "ALLOWED_", "APP_", "AUTH_", "CACHE_", "CHAT_", "CORS_", "DATABASE_", "DB_", "DEBUG", "DOCS_", "DRAIN_"),
    *("HOST", "IMPORT_", "JOBS_", "JWT_", "KEEP_", "LOG_", "MAX_", "OPERATIONS_", "PORT", "RATE_", "REDIS_"),
    *("REQUEST_", "SHUTDOWN_", "TRUSTED_", "USER_", "UNHANDLED_", "UV_LOCKED", "WEBSOCKET_"),
)

UNSTEADY = "unsteady"
"""The property of a test that names what failed in it at first."""

OF_MOMENTS = frozenset(
    {"test_benchmarks.py", "test_chassis.py", "test_faults.py", "test_open_chassis.py", "test_uvicorn_protocols.py"},
)
"""Files whose tests measure moments, or start enough by themselves: with --renders=all nothing runs beside them."""

BY_ITSELF = "::test_a_project_of_any_answers_is_checked_tested_and_served["
"""A test that takes minutes and shares nothing with its file; whichever worker is free takes the next of them."""

Render = Callable[..., Path]


class Turns:
    """Lets the workers of a run take turns: a file of moments has the machine, the tests of other files share it.

    The locks are two files that are there anyway, so nothing is left behind, and two runs of one clone take turns too.
    """

    def __init__(self, door: Path, room: Path) -> None:
        self._door, self._room = (os.open(path, os.O_RDONLY | os.O_CLOEXEC) for path in (door, room))
        self._is_alone = False

    @contextlib.contextmanager
    def turn(self, *, alone: bool, stays: bool) -> Iterator[None]:
        """Be in the room, *alone* or not; who is alone and *stays* keeps it for the next turn.

        Whether it waits or not, each comes by the door, so one that wants to be alone is not overtaken for ever.
        """
        if not self._is_alone:
            fcntl.flock(self._door, fcntl.LOCK_EX)
            fcntl.flock(self._room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
            fcntl.flock(self._door, fcntl.LOCK_UN)
        try:
            yield
        finally:
            self._is_alone = alone and stays
            if not self._is_alone:
                fcntl.flock(self._room, fcntl.LOCK_UN)


class ByFile(LoadFileScheduling):  # type: ignore[misc] # pytest-xdist ships no types
    """The tests of one file stay together, but for those that are BY_ITSELF."""

    def _split_scope(self, nodeid: str) -> str:
        return nodeid if BY_ITSELF in nodeid else str(super()._split_scope(nodeid))


TURNS = Turns(TEMPLATE / "Makefile", TEMPLATE / "pyproject.toml")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--renders",
        choices=["few", "all"],
        default="few",
        help="set up and check a few rendered projects, or one for every answer",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Without a time limit, because rendering takes as long as it takes, and nothing is kept for the next run."""
    settings.register_profile("few", max_examples=20, deadline=None, database=None)
    settings.register_profile("all", max_examples=150, deadline=None, database=None)
    settings.load_profile(config.getoption("--renders"))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByFile | None:
    return ByFile(config, log) if config.getoption("dist") == "loadfile" else None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None, object, object]:
    """Everything of a test, its fixtures too, runs in its turn. A few renders take none: they are for every day."""
    if item.config.getoption("--renders") == "few":
        return (yield)
    stays = nextitem is not None and nextitem.path.name in OF_MOMENTS
    with TURNS.turn(alone=item.path.name in OF_MOMENTS, stays=stays):
        return (yield)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name what passed at the second try: it is no failure, and not hidden."""
    reports = terminalreporter.getreports("passed")
    names = [name for report in reports for key, found in report.user_properties if key == UNSTEADY for name in found]
    if names:
        terminalreporter.section("unsteady: failed beside others, passed alone")
        terminalreporter.write_line("\n".join(names))


@pytest.fixture(scope="session")
def config_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cookiecutter configuration that neither reads nor writes anything in the home folder."""
    folder = tmp_path_factory.mktemp("cookiecutter")
    path = folder / "config.yaml"
    path.write_text(json.dumps({"replay_dir": str(folder / "replay"), "cookiecutters_dir": str(folder / "templates")}))
    return path


@pytest.fixture(scope="session", autouse=True)
def types_of_packages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One cache of mypy for all renders, each with another name: what a package holds is read once for each Python.

    It is of this worker alone, and mypy compares what a file holds, so a render finds nothing of another one.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MYPY_CACHE_DIR", str(tmp_path_factory.mktemp("mypy")))
        yield


@pytest.fixture(scope="session")
def render(config_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Render:
    """Render the template with the given answers; the rest are the defaults. Returns the project's folder."""

    def rendered(output: Path | None = None, **answers: object) -> Path:
        return Path(
            cookiecutter(
                str(TEMPLATE),
                no_input=True,
                extra_context=answers,
                output_dir=str(output or tmp_path_factory.mktemp("render")),
                config_file=str(config_file),
            ),
        )

    return rendered


@pytest.fixture(scope="session")
def default_render(render: Render) -> Path:
    """The project of the default answers, as rendered; not to be written to."""
    return render()


@pytest.fixture(scope="session")
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter.

    PostgreSQL refuses to run as root, so a project's tests start it as somebody else, who must reach its programs.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@pytest.fixture(scope="session")
def project(render: Render, open_folder: Path) -> Path:
    """The project of the default answers, after `make setup`."""
    folder = render(output=open_folder)
    make(folder, "setup")
    return folder


@pytest.fixture(scope="session")
def present(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone of this repository with its history, whose newest commit holds the files as they lie here."""
    folder = tmp_path_factory.mktemp("present") / "template"
    run([*GIT, "clone", "--quiet", str(TEMPLATE), str(folder)], TEMPLATE)
    run([*GIT, "rm", "--quiet", "-r", "."], folder)
    for name in _kept_files():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(TEMPLATE / name, folder / name)
    run([*GIT, "add", "--all"], folder)
    if run([*GIT, "status", "--short"], folder):
        run([*GIT, "commit", "--quiet", "--message", "The files as they lie here"], folder)
    return folder


def project_environment(**variables: str) -> dict[str, str]:
    """Return this process's environment without what it would do to a project, and with *variables*."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in FOREIGN_VARIABLES and not name.startswith(SETTINGS_PREFIXES)
    }
    return kept | variables


def make(folder: Path, *targets: str, **variables: str) -> str:
    """Run make in *folder* and return what it printed; on failure the test fails with that."""
    command = ["make", "--no-print-directory", *targets]
    return run(command, folder, **variables)


def run(command: list[str], folder: Path, **variables: str) -> str:
    """Run *command* in *folder* and return what it printed; on failure the test fails with that."""
    process = finished(command, folder, **variables)
    if process.returncode != 0:
        pytest.fail(f"{' '.join(command)} ended with {process.returncode}:\n{process.stdout}", pytrace=False)
    return process.stdout


def finished(command: list[str], folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run *command* in *folder* to its end, whatever that is; both of its outputs are one."""
    return subprocess.run(
        command,
        cwd=folder,
        env=project_environment(**variables),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def files_below(folder: Path) -> Mapping[str, Path]:
    """Return every file below *folder* by its path from there."""
    return {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}


def _kept_files() -> list[str]:
    """Return what is committed here, or would be by `git add --all`."""
    command = [*GIT, "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    return [name for name in run(command, TEMPLATE).split("\0") if name and (TEMPLATE / name).is_file()]
