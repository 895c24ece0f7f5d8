"""A feature comes to a project, or goes, long after it was made: nothing that its owner did is lost."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import GIT, PROJECT_FOLDER, TEMPLATE, Render, files_below, make, project_environment, run
from test_features import owned
from test_generated_project import get, running
from test_updates import CRUFT, commit, create

from local_extensions import FEATURES
from tools.merging import apply, changes

PASSWORD = "correct horse battery"  # noqa: S105 (of nobody)
MATRIX = "tests/test_auth_matrix.py"
FIRST_TO_BREAK = (
    "tests/test_service.py",
    "tests/test_users_api.py",
)
ORDERS = '''"""Paths of the orders."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import PlainTextResponse

from ..chassis.access import PUBLIC
from ..chassis.http import ApiRoute, allow, describe


def order_routes() -> list[ApiRoute]:
    """The one path."""
    return [ApiRoute("/api/orders", {"GET": allow(PUBLIC, _orders)}, name="orders")]


@describe(summary="List the orders", description="All of them.", responses={200: str}, tags=["orders"])
async def _orders(_request: Request) -> PlainTextResponse:
    return PlainTextResponse("none yet")
'''


@pytest.fixture
def minimal(render: Render, tmp_path: Path) -> Path:
    """A project without features, edited and committed."""
    project = render(output=tmp_path, profile="minimal")
    _edit(project)
    commit(project)
    return project


@pytest.fixture
def standard(render: Render, tmp_path: Path) -> Path:
    """A default project, edited and committed."""
    project = render(output=tmp_path)
    _edit(project)
    commit(project)
    return project


@pytest.fixture
def full(render: Render, tmp_path: Path) -> Path:
    """A project with every feature, edited and committed."""
    project = render(output=tmp_path, profile="full")
    _edit(project)
    commit(project)
    return project


@pytest.mark.parametrize("feature", FEATURES)
def test_removing_a_feature_leaves_a_fresh_render_without_it_and_the_edits(
    render: Render, full: Path, feature: str
) -> None:
    without = render(profile="full", **{feature: "no"})
    _edit(without)
    commit(without)

    history = {name: content for name, content in _tree(full).items() if name.endswith("0001_create_tables.py")}

    make(TEMPLATE, "feature", f"PROJECT={full}", f"REMOVE={feature}")

    assert history
    assert _tree(full) == _tree(without) | history


def test_a_feature_comes_to_an_edited_service_with_data_and_goes_again(
    render: Render, default_render: Path, open_folder: Path, request: pytest.FixtureRequest
) -> None:
    folder = open_folder / "later"
    folder.mkdir()
    project = render(output=folder, profile="minimal")
    _edit(project)
    with running(project, "acme-service") as (base, _):
        ada = get(f"{base}/api/users", body=_person("Ada"))
    commit(project)
    before = _tree(project)

    make(TEMPLATE, "feature", f"PROJECT={project}", "ADD=auth")
    assert _tree(project).keys() - before.keys() == owned("auth", default_render) | {
        "src/acme_service/migrations/versions/0002_create_the_tables_of_auth.py"
    }
    make(project, "migrate")
    with running(project, "acme-service") as (base, _):
        assert "none yet" == get(f"{base}/api/orders")
        get(f"{base}/api/users/{ada['id']}", expected=401)
        grace = get(f"{base}/api/auth/register", body=_person("Grace"))
        for name in ("Ada", "Grace"):
            assert get(f"{base}/api/auth/login", body=_credentials(name), expected=200)["access_token"]
    _declare_route(project / MATRIX)
    _is_in_order(project, request)
    commit(project)

    assert f"kept     {MATRIX}: " in _change(project, "--remove", "auth", code=1)
    (project / MATRIX).unlink()
    with running(project, "acme-service") as (base, _):
        assert "none yet" == get(f"{base}/api/orders")
        assert [ada, grace] == get(f"{base}/api/users")["items"]
    after = {name: content for name, content in _tree(project).items() if "/0002_create_the_tables" not in name}
    assert before.keys() == after.keys()
    assert [] == [name for name in before if before[name] != after[name] and name != "uv.lock"]
    make(project, "migration", "MESSAGE=drop the tables of auth")
    make(project, "migrate")
    _is_in_order(project, request)


def test_the_chat_comes_to_a_service_with_data(render: Render, open_folder: Path) -> None:
    folder = open_folder / "chat-later"
    folder.mkdir()
    project = render(output=folder, profile="minimal")
    with running(project, "acme-service") as (base, _):
        ada = get(f"{base}/api/users", body=_person("Ada"))
    commit(project)

    make(TEMPLATE, "feature", f"PROJECT={project}", "ADD=chat")
    versions = project / "src/acme_service/migrations/versions"
    assert (versions / "0002_create_the_tables_of_chat.py").exists()
    make(project, "migrate")
    with running(project, "acme-service") as (base, _):
        assert [ada] == get(f"{base}/api/users")["items"]
        assert {"items": [], "next_cursor": None} == get(f"{base}/api/rooms/hall/messages")
    make(project, "check")
    make(project, "test", "ARGS=tests/test_service.py tests/test_chat_service.py")


def test_imports_and_jobs_come_to_a_service_with_data(render: Render, open_folder: Path) -> None:
    folder = open_folder / "imports-later"
    folder.mkdir()
    project = render(output=folder, profile="minimal")
    with running(project, "acme-service") as (base, _):
        ada = get(f"{base}/api/users", body=_person("Ada"))
    commit(project)

    make(TEMPLATE, "feature", f"PROJECT={project}", "ADD=csv_import")
    versions = project / "src/acme_service/migrations/versions"
    assert (versions / "0002_create_the_tables_of_csv_import.py").exists()
    make(project, "migrate")
    (project / "users.csv").write_text(f"name,email\nCountess,{ada['email']}\nBob,bob@example.com\n")
    run([str(project / ".venv/bin/acme-service"), "users", "import", "users.csv", "--on-conflict", "update"], project)
    with running(project, "acme-service") as (base, _):
        found = {user["id"]: user["name"] for user in get(f"{base}/api/users")["items"]}
        assert ["Bob", "Countess"] == sorted(found.values())
        assert "Countess" == found[ada["id"]]
    make(project, "check")
    make(project, "test", "ARGS=tests/test_service.py tests/test_csv_import.py tests/test_jobs.py")


def test_an_assistant_comes_to_a_service_with_data(render: Render, open_folder: Path) -> None:
    folder = open_folder / "assistant-later"
    folder.mkdir()
    project = render(output=folder, profile="minimal")
    with running(project, "acme-service") as (base, _):
        ada = get(f"{base}/api/users", body=_person("Ada"))
    commit(project)

    make(TEMPLATE, "feature", f"PROJECT={project}", "ADD=ai_chat")
    versions = project / "src/acme_service/migrations/versions"
    assert (versions / "0002_create_the_tables_of_ai_chat.py").exists()
    make(project, "migrate")
    with running(project, "acme-service") as (base, _):
        assert [ada] == get(f"{base}/api/users")["items"]
        asked = get(f"{base}/api/ai/chat", body={"message": "hello"}, expected=200)
        assert "You said: hello" == asked["message"]
    make(project, "check")
    make(project, "test", "ARGS=tests/test_service.py tests/test_ai_chat.py")


def test_a_function_of_lambda_comes_to_a_project(minimal: Path) -> None:
    _change(minimal, "--add", "aws_lambda")

    assert not list((minimal / "src/acme_service/migrations/versions").glob("0002*"))
    make(minimal, "check")
    make(minimal, "test", "ARGS=tests/test_aws_lambda.py")


def test_tables_that_are_there_already_need_no_migration(minimal: Path) -> None:
    _change(minimal, "--add", "auth")
    commit(minimal)
    _change(minimal, "--remove", "auth")
    commit(minimal)
    _change(minimal, "--add", "auth")

    versions = minimal / "src/acme_service/migrations/versions"
    assert ["0001", "0002"] == sorted(path.name[:4] for path in versions.glob("*.py"))


def test_only_lines_that_both_changed_are_left_to_the_owner(minimal: Path) -> None:
    registry = minimal / "src/acme_service/features/__init__.py"
    registry.write_text(registry.read_text("utf-8").replace("    # In the order", "    # Ours, in the order"))
    (minimal / "compose.yaml").unlink()
    commit(minimal)

    output = _change(minimal, "--add", "auth", code=1)

    left = [line for line in output.splitlines() if line.startswith(("conflict", "kept", "absent"))]
    assert ["absent   compose.yaml", "conflict src/acme_service/features/__init__.py"] == [
        line.partition(":")[0] for line in left
    ]
    assert "<<<<<<< your project\n    # Ours, in the order" in registry.read_text("utf-8")
    assert output.splitlines()[-1].endswith(f'make -C {minimal} migration MESSAGE="create the tables of auth"')
    assert not list(minimal.glob("src/*/migrations/versions/0002*"))
    assert not (minimal / "compose.yaml").exists()


def test_an_edited_file_of_a_removed_feature_is_kept_and_named(full: Path) -> None:
    page = full / "docs/auth.md"
    page.write_text(f"{page.read_text('utf-8')}\nOurs.\n")
    commit(full)

    output = _change(full, "--remove", "auth", code=1)

    assert "kept     docs/auth.md: " in output
    assert page.read_text("utf-8").endswith("\nOurs.\n")
    assert not (full / "src/acme_service/services/auth.py").exists()


def test_removing_who_calls_names_the_routes_that_it_opens_and_those_that_stop_the_start(
    project: Path, standard: Path
) -> None:
    path = standard / "src/acme_service/routes/orders.py"
    text = path.read_text("utf-8").replace("import PUBLIC", "import AUTHENTICATED")
    path.write_text(text.replace("allow(PUBLIC", "allow(AUTHENTICATED"))
    commit(standard)
    with (standard / ".git/info/exclude").open("a") as excluded:
        excluded.write(".venv\n")
    (standard / ".venv").symlink_to(project / ".venv")

    lines = _change(standard, "--remove", "auth").splitlines()

    stated = [line.split(":", 1) for line in lines if line.startswith(("public", "stops"))]
    opened = {" ".join(route.split()): text for route, text in stated}
    assert " it was for admin, superadmin, and is now for everyone" == opened["public GET /api/users"]
    assert "public GET /api/users/{user_id}" in opened
    assert [" it is for authenticated, and the start stops at it until it has another policy"] == [
        text for route, text in opened.items() if route.startswith("stops")
    ]
    assert "stops GET /api/orders" in opened
    assert not [route for route in opened if "/api/auth" in route or "/api/admin" in route]


def test_without_an_environment_it_says_that_the_routes_are_unknown(full: Path) -> None:
    assert "Its routes cannot be listed: it is not set up. " in _change(full, "--remove", "auth")


def test_a_folder_that_held_nothing_else_goes_with_its_files(tmp_path: Path) -> None:
    for name in ("project/src/gone/deep/file", "before/src/gone/deep/file", "project/src/kept", "after/src/kept"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    project = tmp_path / "project"

    apply(project, changes(project, tmp_path / "before", tmp_path / "after"))

    assert ["kept"] == [path.name for path in (project / "src").iterdir()]


def test_a_later_update_knows_which_features_went(present: Path, tmp_path: Path) -> None:
    """What is new in a file of the feature does not come to a project that let the feature go."""
    template = tmp_path / "template"
    run([*GIT, "clone", "--quiet", str(present), str(template)], tmp_path)
    create(template, tmp_path, project_slug="acme")
    project = tmp_path / "acme"
    commit(project)
    _change(project, "--remove", "auth")
    commit(project)
    for name in ("docs/auth.md", "README.md"):
        source = template / PROJECT_FOLDER.name / name
        source.write_text(f"{source.read_text('utf-8')}\nNewer.\n")
    commit(template)
    run([*CRUFT, "update", "--skip-apply-ask"], project)

    assert {" M .cruft.json", "M  README.md"} == set(run([*GIT, "status", "--short"], project).splitlines())
    assert "no" == json.loads((project / ".cruft.json").read_text("utf-8"))["context"]["cookiecutter"]["auth"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--add", "telepathy"], "there is no feature 'telepathy'; choose ai_chat"),
        (["--add", "auth"], "it has auth already"),
    ],
)
def test_a_feature_that_cannot_come_is_refused(full: Path, arguments: list[str], reason: str) -> None:
    assert reason in _refusal(full, *arguments)


def test_a_feature_that_is_not_there_cannot_go(minimal: Path) -> None:
    assert "it has no auth" in _refusal(minimal, "--remove", "auth")


def test_a_project_of_another_version_is_refused(minimal: Path) -> None:
    _record(minimal, r'template_version = ".+"', 'template_version = "0.0.9"')

    assert "it is of version 0.0.9 of the template, and this is " in _refusal(minimal, "--add", "auth")


def test_a_chassis_of_another_version_is_refused(minimal: Path) -> None:
    (minimal / "src/acme_service/chassis/VERSION").write_text("0.0.8\n")
    commit(minimal)

    assert "its chassis is of 0.0.8, and the rest is of " in _refusal(minimal, "--add", "auth")


def test_a_project_without_a_record_is_refused(minimal: Path) -> None:
    _record(minimal, r"\[tool\.cookiecutter-starlette-service\]", "[tool.something]")

    assert "update it first (uvx cruft update)" in _refusal(minimal, "--add", "auth")


def test_a_folder_that_is_no_project_is_refused(tmp_path: Path) -> None:
    assert "there is no pyproject.toml" in _refusal(tmp_path, "--add", "auth")


def test_uncommitted_changes_are_refused(minimal: Path) -> None:
    (minimal / "notes.txt").write_text("not yet committed\n")

    assert "commit or stash them first" in _refusal(minimal, "--add", "auth")


def test_a_project_in_no_repository_is_refused(minimal: Path) -> None:
    shutil.rmtree(minimal / ".git")

    assert "it is in no Git repository" in _refusal(minimal, "--add", "auth")


def test_a_file_that_is_in_the_way_is_refused(minimal: Path) -> None:
    (minimal / "docs/auth.md").write_text("Ours.\n")
    commit(minimal)

    assert "and differ: docs/auth.md; rename them first" in _refusal(minimal, "--add", "auth")


def _edit(project: Path) -> None:
    """Add a route of the owner's own, and a target; the latter stands beside nothing that a feature changes."""
    (project / "src/acme_service/routes/orders.py").write_text(ORDERS)
    table = project / "src/acme_service/routes/__init__.py"
    text = table.read_text("utf-8").replace("from .users", "from .orders import order_routes\nfrom .users")
    table.write_text(text.replace("*user_routes(", "*order_routes(),\n        *user_routes("))
    makefile = project / "Makefile"
    makefile.write_text(f"{makefile.read_text('utf-8')}\nours:\n\t@echo ours\n")


def _declare_route(matrix: Path) -> None:
    """Say who may call the owner's own route, where a project with known callers asks for it."""
    matrix.write_text(
        matrix.read_text("utf-8").replace("POLICIES = {", 'POLICIES = {\n    "GET /api/orders": "public",')
    )


def _record(project: Path, pattern: str, replacement: str) -> None:
    path = project / "pyproject.toml"
    path.write_text(re.sub(pattern, replacement, path.read_text("utf-8")))
    commit(project)


def _is_in_order(project: Path, request: pytest.FixtureRequest) -> None:
    """Check the project and test it: all but its processes, or what a feature's coming and going can break first."""
    is_thorough = request.config.getoption("--renders") == "all"
    make(project, "check")
    make(project, "test", f"ARGS={'tests' if is_thorough else ' '.join(FIRST_TO_BREAK)}")


def _change(project: Path, *arguments: str, code: int = 0) -> str:
    """Add or remove a feature as `make feature` does, and return what is printed."""
    process = _feature(project, *arguments)
    assert code == process.returncode, process.stdout + process.stderr
    return process.stdout


def _refusal(project: Path, *arguments: str) -> str:
    """Return the one line that refuses; the project has to be as before."""
    before = {name: path.read_bytes() for name, path in files_below(project).items()}
    process = _feature(project, *arguments)
    assert before == {name: path.read_bytes() for name, path in files_below(project).items()}
    assert (1, "") == (process.returncode, process.stdout)
    [line] = process.stderr.splitlines()
    assert line.startswith(f"{project}: ")
    return line


def _feature(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tools.feature", str(project), *arguments],
        cwd=TEMPLATE,
        env=project_environment(),
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )


def _tree(project: Path) -> dict[str, bytes]:
    """Return every file that the project's repository has, or would have after `git add --all`."""
    listed = run([*GIT, "ls-files", "-z", "--cached", "--others", "--exclude-standard"], project).split("\0")
    return {name: (project / name).read_bytes() for name in listed if (project / name).is_file()}


def _person(name: str) -> dict[str, str]:
    return {"name": name, **_credentials(name)}


def _credentials(name: str) -> dict[str, str]:
    return {"email": f"{name.lower()}@example.com", "password": PASSWORD}
