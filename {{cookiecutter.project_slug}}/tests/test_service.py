"""The contract of this service: what every operator, client and colleague may rely on, whatever it does.

It starts and stops, drops no request meanwhile, logs JSON lines, protects and describes every route, has the schema
that its models say, and documents its settings and its problem types.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

import {{ cookiecutter.package_name }}
from {{ cookiecutter.package_name }}.app import SERVICE
from {{ cookiecutter.package_name }}.chassis import Feature, Parts
from {{ cookiecutter.package_name }}.chassis.access import AUTHENTICATED, PUBLIC, Policy
from {{ cookiecutter.package_name }}.chassis.cli import read_settings
from {{ cookiecutter.package_name }}.chassis.database import Database
from {{ cookiecutter.package_name }}.chassis.database.migrations.runner import (
    alembic_config,
    comparison,
    metadata_of,
    migrated,
)
from {{ cookiecutter.package_name }}.chassis.errors import ConfigurationError, ProblemType, problem_types
from {{ cookiecutter.package_name }}.chassis.http import ApiRoute, allow, describe
from {{ cookiecutter.package_name }}.chassis.settings.documents import stale
from {{ cookiecutter.package_name }}.chassis.settings.groups import variables

from .application import Application, running
from .process import ServiceProcess
from .schema import SCHEMA

pytestmark = pytest.mark.anyio

PROJECT = Path(__file__).parents[1]
LINE = {"timestamp", "level", "event", "service", "version", "environment", "logger"}
"""The fields of every log line."""
ACCESS_LINE = LINE | {"request_id", "method", "path", "route", "status", "duration_ms", "client"}


# It starts, stops and logs.


def test_it_starts_serves_and_stops_with_exit_code_0(folder: Path) -> None:
    with ServiceProcess(folder) as service:
        with service.client() as client:
            identity = client.get("/")
            assert 200 == client.get("/health/ready").status_code
        code = service.stop()

        assert (0, "") == (code, service.stderr())
    assert {"service": SERVICE.name, "version": SERVICE.version, "environment": "test"} == identity.json()
    assert [] == [line for line in service.lines if not set(line) >= LINE]
    assert {SERVICE.name} == {line["service"] for line in service.lines}
    [line] = [line for line in service.lines if line.get("request_id") == identity.headers["x-request-id"]]
    assert set(line) >= ACCESS_LINE
    assert ("GET", "/", "/", 200) == tuple(line[name] for name in ("method", "path", "route", "status"))


def test_it_drains_under_load_and_drops_no_request(folder: Path) -> None:
    """Clients send one request after another until the balancer has noticed, which is within the drain delay."""
    with ServiceProcess(folder, DRAIN_DELAY_SECONDS="1") as service, ThreadPoolExecutor() as threads:
        stop_at = [time.monotonic() + 60]

        def send() -> list[int]:
            statuses = []
            with service.client() as client:  # which raises for a response that is not whole
                while time.monotonic() < stop_at[0]:
                    statuses.append(client.get("/").status_code)
            return statuses

        assert service.port
        clients = [threads.submit(send) for _ in range(8)]
        time.sleep(0.3)
        stop_at[0] = time.monotonic() + 0.6
        code = service.stop()
        statuses = [status for client in clients for status in client.result()]

    assert (0, {200}) == (code, set(statuses))
    assert len(statuses) > 50


# Every route has a policy and a description.


async def test_every_route_is_protected_and_every_operation_described(application: Application) -> None:
    routes: list[Any] = list(application.app.routes)

    assert routes
    for route in routes:
        assert all(isinstance(policy, Policy) for _, policy in route.policies()), route.path
        for method, endpoint in getattr(route, "endpoints", {}).items():
            assert endpoint.handler.operation.summary, f"{method} {route.path}: put @describe(...) on its handler"


async def test_the_described_operations_are_valid_openapi(application: Application) -> None:
    from openapi_spec_validator import OpenAPIV31SpecValidator  # noqa: PLC0415 - slow, and every worker loads this file

    async with application.client() as client:
        document = (await client.get("/openapi.json")).json()

    assert [] == [error.message for error in OpenAPIV31SpecValidator(document).iter_errors()]


@describe(summary="Do something", description="For a test.", responses={200: str})
async def described(_request: Request) -> Response:
    return PlainTextResponse("done")


async def undescribed(_request: Request) -> Response:
    return PlainTextResponse("done")


@pytest.mark.parametrize(
    ("route", "message"),
    [
        (Route("/open", described), "'/open' has no access policy"),
        (ApiRoute("/bare", {"GET": allow(PUBLIC, undescribed)}, name="bare"), "/bare has no description"),
    ],
    ids=["no policy", "no description"],
)
async def test_a_route_that_lacks_either_stops_the_start(
    sqlite_url: str, tmp_path: Path, route: BaseRoute, message: str
) -> None:
    extra = Feature(name="extra", build=lambda _core: Parts(routes=[route]))

    with pytest.raises(ConfigurationError, match=message):
        async with running(sqlite_url, tmp_path, extra):
            pass


async def test_what_is_not_public_is_served_to_no_anonymous_client(sqlite_url: str, tmp_path: Path) -> None:
    """It is rejected where callers are identified; where they are not, the service does not even start."""
    route = ApiRoute("/private", {"GET": allow(AUTHENTICATED, described)}, name="private")
    extra = Feature(name="extra", build=lambda _core: Parts(routes=[route]))
    try:
        async with running(sqlite_url, tmp_path, extra) as application, application.client() as client:
            status = (await client.get("/private")).status_code
    except ConfigurationError as error:
        assert "GET /private is for authenticated" in str(error)  # noqa: PT017 - one of two outcomes
    else:
        assert 401 == status


# The schema is what the models say.


async def test_the_migrated_schema_is_what_the_models_say(database: Database) -> None:
    def differences(connection: Connection) -> list[Any]:
        context = MigrationContext.configure(connection, opts=comparison(connection, SCHEMA))
        return list(compare_metadata(context, metadata_of(SCHEMA)))

    async with database.reading() as connection:
        found = await connection.run_sync(differences)
    assert not found, f'no revision makes this of the models: make migration MESSAGE="what it does"\n{found}'


async def test_the_schema_goes_up_down_and_up_again(empty_database_url: str) -> None:
    every_table = set(metadata_of(SCHEMA).tables)
    for revision, expected in (("head", every_table), ("base", set[str]()), ("head", every_table)):
        await migrated(empty_database_url, SCHEMA, revision)
        database = Database(empty_database_url)
        await database.start()
        async with database.reading() as connection:
            tables = await connection.run_sync(lambda sync: set(inspect(sync).get_table_names()))
        await database.close()

        assert expected == tables - {"alembic_version"}, f"at the revision {revision!r}"


def test_the_revisions_are_one_line_and_numbered_by_their_files() -> None:
    script = ScriptDirectory.from_config(alembic_config(SCHEMA))
    revisions = {revision.revision: Path(revision.path).name for revision in script.walk_revisions()}

    assert [max(revisions)] == script.get_heads(), "two revisions follow the same one: renumber the later"
    assert [] == [name for revision, name in revisions.items() if not name.startswith(f"{revision}_")]


# The settings are what the documents say.


def test_the_documents_name_every_setting_with_its_meaning_and_default() -> None:
    assert not stale(SERVICE, PROJECT), "other settings than the groups declare: run make documents, and commit"


def test_every_feature_with_settings_has_a_page() -> None:
    names = [feature.name for feature in SERVICE.features if feature.settings]
    missing = [f"docs/{name}.md" for name in names if not (PROJECT / "docs" / f"{name}.md").exists()]

    assert not missing, f"write {' and '.join(missing)}: what the feature does, and which of its settings to decide on"


def test_the_example_changes_nothing_as_it_is_and_with_every_line_in_force(tmp_path: Path) -> None:
    example = re.sub(r"(?<==)generate:\d+$", "", _read(".env.example"), flags=re.MULTILINE)
    before = read_settings(SERVICE, {}, tmp_path)
    for text in (example, re.sub(r"^# (?=[A-Z][A-Z0-9_]*=)", "", example, flags=re.MULTILINE)):
        (tmp_path / ".env").write_text(text, encoding="utf-8")

        assert before == read_settings(SERVICE, {}, tmp_path)


def test_no_two_settings_share_a_variable() -> None:
    groups = [*SERVICE.settings, *(group for feature in SERVICE.features for group in feature.settings)]
    names = [variable.name for group in groups for variable in variables(group)]

    assert not {name for name in names if names.count(name) > 1}


def _read(name: str) -> str:
    return (PROJECT / name).read_text(encoding="utf-8")


# Every problem type has a page.


def every_problem_type() -> dict[str, ProblemType]:
    """Those of all modules of the package; raises ValueError for a slug that two of them share."""
    for top in pkgutil.iter_modules({{ cookiecutter.package_name }}.__path__):
        if top.name not in {"__main__", "chassis"}:
            module = importlib.import_module(f"{SERVICE.package}.{top.name}")
            for below in pkgutil.walk_packages(getattr(module, "__path__", []), f"{module.__name__}."):
                importlib.import_module(below.name)
    return problem_types()


def test_every_problem_type_has_a_page_and_every_page_a_type() -> None:
    pages = {path.stem: path.read_text(encoding="utf-8") for path in (PROJECT / "docs" / "problems").glob("*.md")}
    pages.pop("README")
    types = every_problem_type()
    missing = [
        f"docs/problems/{kind.slug}.md has to begin with: # {kind.title}"
        for kind in types.values()
        if not pages.get(kind.slug, "").startswith(f"# {kind.title}\n")
    ]

    assert not missing, "\n".join(missing)
    assert not set(pages) - set(types), "no error has these problem types any more: remove their pages"
