"""Files of users: what their columns become, by the command and over HTTP."""

from __future__ import annotations

import csv
import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from .application import PASSWORD, new_user
from .csv_import import CSV, IDENTIFIED, ended
from .process import ServiceProcess, run

HEADER = "name,email,joined_at\n"
KEY = {"JWT_SECRET": secrets.token_urlsafe(48)} if IDENTIFIED else {}


@pytest.fixture
def admin(folder: Path, database_url: str) -> Iterator[httpx2.Client]:
    """A client that may import: an admin's, where a feature identifies callers."""
    variables = {"DATABASE_URL": database_url, **KEY}
    email = new_user("root")["email"]
    if IDENTIFIED:
        created = run(folder, "create-admin", email, entered=f"{PASSWORD}\n", **variables)
        assert 0 == created.returncode, created.stderr
    with ServiceProcess(folder, **variables) as service, service.client() as client:
        if IDENTIFIED:
            tokens = client.post("/api/auth/login", json={"email": email, "password": PASSWORD}).json()
            client.headers["Authorization"] = f"Bearer {tokens['access_token']}"
        yield client


def imported(client: httpx2.Client, content: str, **query: str) -> dict[str, Any]:
    """The import of *content* when it has ended."""
    response = client.post("/api/imports", content=content, params=query, headers=CSV)
    assert 202 == response.status_code, response.text
    return ended(client, response.headers["Location"])


def found(client: httpx2.Client, email: str) -> dict[str, Any]:
    """The user with *email*."""
    listed = client.get("/api/users", params={"limit": 100}).raise_for_status().json()["items"]
    return next(user for user in listed if user["email"] == email)


def test_records_become_users_and_each_is_counted_once(admin: httpx2.Client) -> None:
    records = [" Ada ,ADA@Example.com,1843-10-18", "Bob,bob@example.com,", "Eve,ada@example.com,", ",eve,soon"]
    done = imported(admin, HEADER + "\n".join(records))

    counts = [done[name] for name in ("records", "inserted", "updated", "skipped", "rejected")]
    assert ("done", [4, 2, 0, 0, 2]) == (done["state"], counts)
    ada = found(admin, "ada@example.com")
    assert ("Ada", "1843-10-18T00:00:00Z") == (ada["name"], ada["created_at"])
    rejects = list(csv.reader(admin.get(f"/api/imports/{done['id']}/rejects").text.splitlines()))[1:]
    assert ["4", "email is a duplicate of line 2", "Eve,ada@example.com,"] == rejects[0]
    assert ["5", ",eve,soon"] == [rejects[1][0], rejects[1][2]]
    assert 3 == rejects[1][1].count(";") + 1


def test_an_update_changes_the_name_alone(admin: httpx2.Client) -> None:
    created = admin.post("/api/users", json=new_user("ada", email="ada@example.com")).json()
    done = imported(admin, f"{HEADER}Countess,Ada@example.com,2001-01-01\n", on_conflict="update")

    assert 1 == done["updated"]
    user = admin.get(f"/api/users/{created['id']}").json()
    assert ("Countess", created["created_at"]) == (user["name"], user["created_at"])


@pytest.mark.skipif(not IDENTIFIED, reason="no feature identifies callers")
def test_an_imported_user_can_log_in_when_an_admin_has_set_a_password(admin: httpx2.Client) -> None:
    imported(admin, f"{HEADER}Bob,bob@example.com,\n")

    def status(password: str) -> int:
        return admin.post("/api/auth/login", json={"email": "bob@example.com", "password": password}).status_code

    assert [401, 401] == [status(PASSWORD), status("!")]
    user_id = found(admin, "bob@example.com")["id"]
    assert 200 == admin.patch(f"/api/users/{user_id}", json={"password": PASSWORD}).status_code
    assert 200 == status(PASSWORD)


@pytest.mark.skipif(not IDENTIFIED, reason="no feature identifies callers")
def test_only_admins_may_import(admin: httpx2.Client) -> None:
    stranger = httpx2.Client(base_url=admin.base_url)
    assert 401 == stranger.post("/api/imports", content=HEADER, headers=CSV).status_code
    stranger.post("/api/auth/register", json=new_user("bob"))
    credentials = {"email": new_user("bob")["email"], "password": PASSWORD}
    stranger.headers["Authorization"] = (
        f"Bearer {stranger.post('/api/auth/login', json=credentials).json()['access_token']}"
    )

    assert 403 == stranger.post("/api/imports", content=HEADER, headers=CSV).status_code
    stranger.close()


def test_the_command_imports_writes_rejects_and_says_what_it_did(folder: Path, database_url: str) -> None:
    (folder / "users.csv").write_text(f"{HEADER}Ada,ada@example.com,\n=1+1,wrong,\n")
    arguments = ("users", "import", "users.csv", "--rejects", "rejects.csv", "--format", "json")

    for state, more in (("dry run", ["--dry-run"]), ("done", []), ("done", [])):
        result = run(folder, *arguments, *more, DATABASE_URL=database_url)
        assert 0 == result.returncode, result.stderr
        shown = json.loads(result.stdout)
        assert (state, 1, 1) == (shown["state"], shown["inserted"], shown["rejected"])
        assert "\n3," in (folder / "rejects.csv").read_text()
    assert "'=1+1,wrong" in (folder / "rejects.csv").read_text()
