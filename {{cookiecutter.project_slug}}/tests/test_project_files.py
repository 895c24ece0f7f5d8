"""The files around the package agree with it and with each other."""

from __future__ import annotations

import ast
import io
import re
import subprocess
import sys
import tokenize
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from {{ cookiecutter.package_name }}.app import SERVICE
from {{ cookiecutter.package_name }}.chassis.cli import read_settings
from {{ cookiecutter.package_name }}.chassis.server.options import ServerOptions
from {{ cookiecutter.package_name }}.chassis.settings import Settings
from {{ cookiecutter.package_name }}.chassis.shapes.problem import ProblemDetails

from .application import production

PROJECT = Path(__file__).parents[1]
PACKAGE = PROJECT / "src" / "{{ cookiecutter.package_name }}"
CHASSIS = PACKAGE / "chassis"
PIPELINES = [path for path in (".github/workflows/ci.yml", ".gitlab-ci.yml") if (PROJECT / path).exists()]
SECONDS_TO_SPARE = 4


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Those of production."""
    return read_settings(SERVICE, production(), tmp_path)


def test_compose_waits_longer_than_the_longest_shutdown(settings: Settings) -> None:
    server = settings.server
    options = ServerOptions(
        problems=ProblemDetails(SERVICE.name),
        host=server.host,
        port=server.port,
        drain_delay_seconds=server.drain_delay_seconds,
        shutdown_deadline_seconds=server.shutdown_deadline_seconds,
    )
    (grace,) = re.findall(r"^ +stop_grace_period: (\d+)s$", _read("compose.yaml"), re.MULTILINE)

    assert int(grace) >= options.longest_shutdown_seconds + SECONDS_TO_SPARE


def test_the_image_exposes_the_default_port(settings: Settings) -> None:
    assert [str(settings.server.port)] == _instructions("EXPOSE")


def test_the_image_has_the_oldest_python_that_is_supported() -> None:
    (default,) = [value for value in _instructions("ARG") if value.startswith("PYTHON_VERSION=")]

    assert _pyproject()["project"]["requires-python"] == ">=" + default.partition("=")[2]


def test_the_image_runs_one_program_as_a_numeric_user() -> None:
    users = _instructions("USER")

    assert users
    for user in users:
        assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user), "Kubernetes can verify a number, not a name"
    for instruction in ("ENTRYPOINT", "CMD"):
        commands = _instructions(instruction)
        assert len(users) == len(commands)
        for command in commands:
            assert command.startswith("["), f"{instruction}: a shell in between would swallow SIGTERM"


def test_the_image_reports_its_own_health_by_the_service_s_command() -> None:
    (health,) = _instructions("HEALTHCHECK")
    (program,) = _pyproject()["project"]["scripts"]

    assert f'--interval=30s --timeout=3s --start-period=5s --retries=3 CMD ["{program}", "healthcheck"]' == health


def test_the_image_holds_what_a_build_stage_installed_and_not_its_tools() -> None:
    stages = _read("Dockerfile").split("\nFROM ")[1:]

    images = [stage for stage in stages if " AS build" not in stage.partition("\n")[0]]

    assert "${BASE} AS build" == stages[0].partition("\n")[0]
    assert "${BASE}" == stages[-1].partition("\n")[0], "the last one is built unless another is named"
    for image in images:
        assert re.search(r"\nCOPY --from=build[\w-]* /app/\.venv \.venv\n", image)
        assert "/opt/uv" not in image


def test_the_image_installs_the_lock_alone_without_what_tests_need_and_compiled() -> None:
    commands = [command for command in _instructions("RUN") if "uv sync" in command]
    dependencies, service, *others = (command.partition("uv sync ")[2] for command in commands)

    assert "--locked --no-dev --no-install-project" == dependencies
    assert "--locked --no-dev --no-editable" == service
    assert all(other.startswith(f"{service} --group ") for other in others)
    assert any("UV_COMPILE_BYTECODE=1" in variables.split() for variables in _instructions("ENV"))


def test_an_image_without_a_lock_is_rejected_with_what_to_do(tmp_path: Path) -> None:
    (command,) = [command for command in _instructions("RUN") if "make setup" in command]

    def tried() -> subprocess.CompletedProcess[str]:
        return subprocess.run(["/bin/sh", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False)

    rejected = tried()
    assert 1 == rejected.returncode
    assert "run 'make setup' and commit it" in rejected.stderr

    (tmp_path / "uv.lock").touch()
    assert 0 == tried().returncode


def test_secrets_data_and_logs_are_never_committed(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text(_read(".gitignore"), encoding="utf-8")
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    private = [".env", ".env.staging", "prod.env", "deploy/prod.env", "data.db", "a/b.db-wal", "s.log", "s.log.1"]
    asked = [*private, ".env.example", "src/app.py"]
    ignored = subprocess.run(
        ["git", "check-ignore", *asked], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout.split()

    assert private == ignored


def test_only_what_the_image_needs_reaches_the_builder() -> None:
    lines = [line for line in _read(".dockerignore").splitlines() if line and not line.startswith("#")]

    assert lines[0] == "*"
    assert {"!README.md", "!pyproject.toml", "!src", "!uv.lock"} == {line for line in lines if line.startswith("!")}
    # What may lie inside src, too.
    assert {"**/.env*", "**/*.db", "**/*.pem"} <= set(lines[lines.index("!src") :])


@pytest.mark.parametrize("path", [*PIPELINES, ".pre-commit-config.yaml", "README.md"])
def test_every_make_target_that_is_named_exists(path: str) -> None:
    targets = set(re.findall(r"^([a-z]+):", _read("Makefile"), re.MULTILINE))
    named = set(re.findall(r"(?:^|`|: |- )make ([a-z]+)", _read(path), re.MULTILINE))

    assert named
    assert named <= targets


@pytest.mark.parametrize("path", PIPELINES)
def test_a_pipeline_pins_every_action_and_runs_make_on_system_packages(path: str) -> None:
    pipeline = _read(path)
    actions = re.findall(r"uses: (\S+)", pipeline)
    commands = re.findall(r"^ +- (?:run: )?((?:make|sudo|apt-get|apk|pip|uv|pytest)\b.*)$", pipeline, re.MULTILINE)

    assert [] == [action for action in actions if not re.search(r"@[0-9a-f]{40}$", action)]
    assert commands
    assert [] == [command for command in commands if not re.match(r"make |(sudo )?apt-get update|apk add ", command)]


def test_the_lock_names_one_index_and_no_credentials() -> None:
    if not (PROJECT / "uv.lock").exists():
        pytest.skip("there is no uv.lock yet: make setup writes it")
    lock = _read("uv.lock")
    urls = [urlsplit(url) for url in re.findall(r'"(https?://[^"]+)"', lock)]

    assert len({urlsplit(url).hostname for url in re.findall(r'registry = "([^"]+)"', lock)}) == 1, (
        "UV_DEFAULT_INDEX or UV_INDEX was set while the lock was written"
    )
    assert [] == [url.geturl() for url in urls if url.username or url.password]


@pytest.mark.parametrize(
    "statement",
    [
        "asyncio.create_task(work())",
        "asyncio.ensure_future(work())",
        "os.getenv('HOME')",
        "os.environ['HOME']",
    ],
)
def test_the_linter_rejects_what_has_one_supervised_place(statement: str) -> None:
    source = f"import asyncio\nimport os\n\n{statement}\n"
    command = [sys.executable, "-m", "ruff", "check", "--select=TID251", "--stdin-filename=src/any/services.py", "-"]
    found = subprocess.run(command, cwd=PROJECT, input=source, capture_output=True, encoding="utf-8", check=False)

    assert found.returncode == 1
    assert "TID251" in found.stdout


def test_every_task_is_supervised() -> None:
    sources = {path: path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py") if CHASSIS not in path.parents}

    assert sources
    assert {} == {str(path): found for path, source in sources.items() if (found := _bare_tasks(source))}, (
        "start it with core.tasks, or list it in Parts(tasks=...): then it is logged, counted and cancelled"
    )


def _bare_tasks(source: str) -> list[str]:
    """The methods in *source* that start a task; those of a TaskGroup wait for it and are no concern."""
    nodes = list(ast.walk(ast.parse(source)))
    groups = {
        ast.unparse(item.optional_vars)
        for node in nodes
        if isinstance(node, ast.AsyncWith)
        for item in node.items
        if item.optional_vars is not None and "TaskGroup(" in ast.unparse(item.context_expr)
    }
    return [
        node.attr
        for node in nodes
        if isinstance(node, ast.Attribute)
        if node.attr in {"create_task", "ensure_future"} and ast.unparse(node.value) not in groups
    ]


@pytest.mark.parametrize("folder", ["src", "tests", "scripts"])
def test_every_exception_to_a_rule_has_a_reason(folder: str) -> None:
    paths = [path for path in (PROJECT / folder).rglob("*.py") if CHASSIS not in path.parents]
    sources = {str(path): path.read_text(encoding="utf-8") for path in paths}

    assert sources
    assert {} == {path: found for path, source in sources.items() if (found := _unexplained(source))}


def _unexplained(source: str) -> list[str]:
    """The `noqa` comments in *source* that do not say which rule they lift, or why."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    comments = [token.string for token in tokens if token.type == tokenize.COMMENT and "noqa" in token.string]
    return [comment for comment in comments if not re.search(r"# noqa: [A-Z]+\d+(, [A-Z]+\d+)* - \w", comment)]


def _read(path: str) -> str:
    return (PROJECT / path).read_text(encoding="utf-8")


def _pyproject() -> dict[str, Any]:
    return tomllib.loads(_read("pyproject.toml"))


def _instructions(name: str) -> list[str]:
    return re.findall(rf"^{name} (.*)$", _read("Dockerfile"), re.MULTILINE)
