"""The chassis: apart from every service, the same in every render, and tested by `tests/chassis` in renders of it."""

from __future__ import annotations

import ast
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
from conftest import PROJECT_FOLDER, TEMPLATE, UNSTEADY, UV, Render, files_below, finished, make, run
from matrix import by_hand, interpreter, reproducible
from post_gen_project import FEATURES as MANIFEST

from local_extensions import CHOICES, FEATURES
from tools.manifest import FOLDERS

CHASSIS = PROJECT_FOLDER / "src" / "{{cookiecutter.package_name}}" / "chassis"
TESTS = TEMPLATE / "tests" / "chassis"
CONFIG = str(TESTS / "pyproject.toml")
OLDEST, *NEWER = CHOICES["python_version"]
# A worker that a test ended is not replaced: by files, the plugin would give the same test to one after the other.
SIDES = ("--numprocesses", "3", "--dist", "loadfile", "--max-worker-restart", "0")
TRIED_AGAIN = 3
"""How often a test that failed beside others has to pass alone, and how many may need it."""
MOST_LINES = 300
OF_A_SERVICE = re.compile(r"__tablename__|/api/|[\"']admin[\"']|superadmin|acme|cookiecutter", re.IGNORECASE)
"""A table, a path, a role or a name that is some service's own."""
EXPORTED: Mapping[str, str] = {
    "": "Command Core Feature Logging Parts Restart Service Task asgi run",
    "access": """
        ANONYMOUS AUTHENTICATED Administration BEARER_SUBPROTOCOL Caller Identities Identity PUBLIC Policy
        current_caller owner_or roles
    """,
    "ai_chat": """
        Assistant AssistantController AssistantLimits AssistantTables ConversationColumns ConversationMessageColumns
        EchoProvider FailureKind Message OpenAIProvider PAGE_ASSETS Provider ProviderFailed ProviderKey ProviderUrl
        TokenBudgetColumns Usage
    """,
    "auth": """
        Attempts BearerAuthorizer CHALLENGE Claims Count MAX_TOKEN_CHARACTERS MemoryAttempts Reservation
        SealedCache TokenRejected Tokens client_of counts_of guess new_attempts
    """,
    "aws_lambda": "LambdaHandler",
    "cache": "Cache CacheStats MemoryCache",
    "chat": "Chat ChatLimits ClientMessageId Message NewMessage PAGE_ASSETS RoomId Rooms Stored UserId",
    "database": """
        AnyRow Database DatabaseNow Listing NAMING_CONVENTION TYPE_ANNOTATION_MAP UTCDateTime Versioned Versions
        in_versions
    """,
    "errors": """
        ClientGone ConfigurationError Conflict ContentTooLarge DatabaseUnavailable FieldError Forbidden
        HostNotAllowed IdempotencyKeyInUse IdempotencyKeyReused Invalid MalformedRequest NotFound NotReady
        Overloaded PreconditionFailed PreconditionRequired ProblemType RequestTimedOut ResponseAborted
        SchemaOutdated ServiceError ShuttingDown StartupFailed TooManyRequests Unauthenticated Unavailable
        UnsupportedMediaType UpstreamFailed UpstreamTimedOut problem_types
    """,
    "http": """
        ApiRoute Authorizer BodyLimits EventStream Idempotency allow describe json_response mount prefers_events
        read_body read_id read_if_match read_query static_files version_headers web_page websocket while_connected
    """,
    "csv_import": """
        Batch Column CsvRejected EMAIL ImportChunkColumns ImportColumns ImportRejectColumns ImportTables Importer
        Imports ImportsController Kind Moments NAME OnConflict Parser Reject TableSink Target Text configure_import
        csv_of run_import
    """,
    "idempotency": "EffectKey IdempotencyColumns NO_KEY",
    "jobs": "COMMANDS Job JobColumns JobId JobOptions JobRun Jobs LeaseLost NatsUrl NonRetryable Returned",
    "middleware": """
        allowed_hosts body_size_limit concurrency_limit cors errors instrumentation proxies rate_limit time_limit
    """,
    "passwords": "Checked HASHING_NICE NO_PASSWORD Passwords Result salt_of",
    "rate_limits": "RateLimit UNKNOWN_PROXY behind_unknown_proxy networks report_limit subscriber",
    "settings": """
        Accepts AppEnv CHASSIS_GROUPS DatabaseSettings DatabaseUrl Generated Hosts Insecure Listener
        LoggingSettings LowerCase Origins Proxies RedisSettings RedisUrl SecretUrl ServerSettings Settings
        SettingsError SettingsGroup SigningKey Switch environment_of load_settings masked_lines secret_values
        service_defaults weakness
    """,
    "shapes": """
        Changes CursorPage Email GivenPassword ID_PATTERN Items ListQuery MAX_EMAIL_CHARACTERS Name Page
        PageQuery Pagination Password canonical_email cursor_after id_at
        is_own_email new_id new_ids
    """,
}
"""What a service may import: the names of each public module."""


class Run(NamedTuple):
    """A render on a Python, and which of the tests it is put to."""

    python: str
    answers: Mapping[str, str]
    tests: Sequence[str] = (".",)

    def __str__(self) -> str:
        return "-".join([self.python, *(f"{key}={answer}" for key, answer in self.answers.items())])


FULL = {"profile": "full"}
OF_NO_FEATURE = ("unit/test_patterns.py", "unit/shapes/test_credentials.py")
"""Minutes of computing on code, packages and a Python that the first run has as well, and that no feature changes."""
RUNS = [
    Run(OLDEST, FULL),
    *(Run(version, FULL) for version in NEWER),
    # Its processes run the same server, and serve the same sample.
    Run(
        OLDEST,
        {**FULL, **dict.fromkeys(FEATURES, "no")},
        ("unit", "integration", *(f"--ignore={name}" for name in OF_NO_FEATURE)),
    ),
]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Few: everything on the oldest Python."""
    if "tested" in metafunc.fixturenames:
        few = metafunc.config.getoption("--renders") == "few"
        metafunc.parametrize("tested", RUNS[:1] if few else RUNS, ids=str)


def test_the_chassis_passes_its_tests(
    render: Render, open_folder: Path, tested: Run, record_property: Callable[[str, object], None]
) -> None:
    """On SQLite, PostgreSQL and Redis; where CI is set, what this machine lacks is a failure."""
    python = interpreter(tested.python) or _missing(f"no Python {tested.python} on this machine")
    with reproducible(by_hand(tested.answers, "setup", python=python)):
        folder = render(output=open_folder / f"chassis-{tested}", **tested.answers)
        make(folder, "setup", UV_PYTHON=python, UV_COMPILE_BYTECODE="1")  # many short processes import it all
        _install_tools(folder)
        if tested == RUNS[0]:
            _check(folder)
        summary, unsteady = _tested(folder, tested.tests)
        record_property(UNSTEADY, [f"{name} in {tested}" for name in unsteady])

    assert re.search(r"\b\d+ passed\b", summary), summary
    assert not os.environ.get("CI") or not re.search(r"\b\d+ skipped\b", summary), summary


def test_what_only_the_first_run_tests_is_there() -> None:
    assert ["."] == list(RUNS[0].tests)
    assert all((TESTS / name).is_file() for name in OF_NO_FEATURE)


def test_the_chassis_imports_nothing_outside_of_itself() -> None:
    outside = [f"{name}: {level} dots" for name, path in _sources() for level in _levels_beyond(name, path)]

    assert [] == outside


def test_the_chassis_names_no_service_and_nothing_of_one() -> None:
    named = {
        name: found.group()
        for name, path in files_below(CHASSIS).items()
        if (found := OF_A_SERVICE.search(path.read_text("utf-8"))) and path.suffix != ".txt"
    }

    assert {} == named


def test_no_file_of_the_chassis_is_long() -> None:
    lengths = {name: len(path.read_text("utf-8").splitlines()) for name, path in _sources()}

    assert {} == {name: length for name, length in lengths.items() if length > MOST_LINES}


def test_the_chassis_is_the_same_in_every_render(render: Render) -> None:
    whole = {name: path.read_bytes() for name, path in files_below(CHASSIS).items()}
    names = {"project_slug": "zebra-crossing", "package_name": "quagga_stripes", "python_version": NEWER[-1]}
    for answers in ({}, {"profile": "minimal"}, {"profile": "full", **names}):
        folder = render(**answers) / "src" / answers.get("package_name", "acme_service") / "chassis"
        found = {name: path.read_bytes() for name, path in files_below(folder).items()}
        left_out = {name for name in FOLDERS if not (folder / name).exists()}

        assert found == {name: text for name, text in whole.items() if name.partition("/")[0] not in left_out}


@pytest.mark.parametrize("feature", FEATURES)
def test_a_feature_has_its_mechanism_in_a_folder_of_its_name(feature: str) -> None:
    paths = [path.partition("/chassis/")[2] for path in MANIFEST[feature]["yes"] if "/chassis/" in path]

    if feature == "csv_import":
        paths.remove("jobs")  # they know nothing of an import, and another feature may come to send some

    assert paths in ([], [feature])


@pytest.mark.parametrize("package", ["__init__.py", "server/__init__.py"])
def test_what_signals_wait_for_imports_nothing(package: str) -> None:
    """Its names are imported when they are asked for."""
    imports = [node for node in _run_at_import(CHASSIS / package) if isinstance(node, ast.Import | ast.ImportFrom)]

    assert {"__future__"} >= {ast.unparse(node).split()[1] for node in imports}


@pytest.mark.parametrize("module", EXPORTED)
def test_a_public_module_exports_what_is_promised(module: str) -> None:
    assert EXPORTED[module].split() == sorted(_exported(module))


@pytest.mark.parametrize("package", [name for name in EXPORTED if (CHASSIS / name / "__init__.py").exists() and name])
def test_no_module_hides_what_its_package_exports(package: str) -> None:
    """A module sets its name in the package when it is imported; if that is later, it replaces a function."""
    tree = [node for node in _run_at_import(CHASSIS / package / "__init__.py") if isinstance(node, ast.ImportFrom)]
    settled = {(node.module or "").partition(".")[0] for node in tree if node.level == 1}
    modules = {path.stem for path in (CHASSIS / package).iterdir()}

    assert set() == modules & set(_exported(package)) - settled


def test_no_module_of_the_product_imports_what_is_not_public() -> None:
    """But for the signals, which come first."""
    product = [(name, path) for name, path in files_below(CHASSIS.parent).items() if not name.startswith("chassis/")]
    imported = {module for name, path in product if path.suffix == ".py" for module in _of_chassis(path)}

    assert imported
    assert imported <= {*EXPORTED, "server.signals"}


def _missing(reason: str) -> str:
    if os.environ.get("CI"):
        pytest.fail(f"{reason}; CI tests everything", pytrace=False)
    pytest.skip(reason)


def _tested(folder: Path, tests: Sequence[str]) -> tuple[str, list[str]]:
    """What pytest printed in the end, and which tests needed TRIED_AGAIN.

    Many are of moments, and three run at once: one of thousands fails where the machine had no time for it. Such a test
    passes alone, again and again. One that fails every third time does not, and no more than TRIED_AGAIN may fail.
    """
    cache = folder / ".pytest_cache"
    command = [_tool(folder, "pytest"), "-o", f"cache_dir={cache}"]
    done = finished([*command, *SIDES, *tests], TESTS)
    if done.returncode == 0:
        return done.stdout, []
    failed = list(json.loads((cache / "v" / "cache" / "lastfailed").read_text("utf-8")))
    if not 0 < len(failed) <= TRIED_AGAIN or not all("::" in name for name in failed):  # or files did not load
        pytest.fail(done.stdout, pytrace=False)
    for _ in range(TRIED_AGAIN):
        again = finished([*command, *failed], TESTS)
        if again.returncode != 0:
            pytest.fail(f"{done.stdout}\nAlone:\n{again.stdout}", pytrace=False)
    return done.stdout, failed


def _install_tools(folder: Path) -> None:
    """What the tests need and the project may have dropped; the uv of `make setup` installs it."""
    command = [UV, "pip", "install", "--quiet", "--python", _tool(folder, "python")]
    run([*command, "--requirements", str(TESTS / "requirements.txt")], folder)


def _check(folder: Path) -> None:
    """Lint, format and types of the chassis in the render *folder* and of its tests."""
    chassis = Path("src", "acme_service", "chassis")
    for where, what in ((folder, chassis), (TEMPLATE, TESTS.relative_to(TEMPLATE))):  # Ruff's patterns begin there
        for command in (["check"], ["format", "--check"]):
            run([_tool(folder, "ruff"), *command, "--no-cache", "--config", CONFIG, str(what)], where)
    types = [_tool(folder, "mypy"), "--config-file", CONFIG, "-p", "acme_service.chassis", "-p", TESTS.name]
    run(types, TESTS.parent, MYPYPATH=f"{folder / 'src'}:{folder}", MYPY_CACHE_DIR=str(folder / ".mypy_cache"))


def _tool(folder: Path, name: str) -> str:
    return str(folder / ".venv" / "bin" / name)


def _sources() -> list[tuple[str, Path]]:
    return [(name, path) for name, path in files_below(CHASSIS).items() if path.suffix == ".py"]


def _levels_beyond(name: str, path: Path) -> list[int]:
    """The dots of each relative import that lead out of the chassis."""
    nodes = ast.walk(ast.parse(path.read_text("utf-8")))
    return [node.level for node in nodes if isinstance(node, ast.ImportFrom) and node.level > name.count("/") + 1]


def _run_at_import(path: Path) -> Iterator[ast.AST]:
    """Everything in *path* that runs when it is imported: not what is for the type checker, nor inside a function."""
    waiting: list[ast.AST] = [ast.parse(path.read_text("utf-8"))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            waiting += node.orelse
            continue
        yield node
        waiting += ast.iter_child_nodes(node)


def _exported(module: str) -> list[str]:
    """The names in `__all__`, or without it those that the module itself makes and that do not begin with a _."""
    path = CHASSIS / f"{module}.py" if (CHASSIS / f"{module}.py").exists() else CHASSIS / module / "__init__.py"
    names: list[str] = []
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            names.append(node.name)
        if isinstance(node, ast.AnnAssign):
            names.append(ast.unparse(node.target))
        if isinstance(node, ast.Assign):
            names += map(ast.unparse, node.targets)
        if isinstance(node, ast.Assign) and "__all__" in names:
            return list(ast.literal_eval(node.value))
    return [name for name in names if not name.startswith("_")]


def _of_chassis(path: Path) -> Iterator[str]:
    """The modules of the chassis that *path*, of the product, imports."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "chassis":
            yield (node.module or "").removeprefix("chassis").removeprefix(".")
