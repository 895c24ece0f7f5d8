"""Every operation of the OpenAPI document, asked by everybody, on each kind of database."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from {{ cookiecutter.package_name }}.features import FEATURES
from {{ cookiecutter.package_name }}.models.auth import AccountChanges, Role
from {{ cookiecutter.package_name }}.services.auth_accounts import COMMAND_LINE, Accounts
from {{ cookiecutter.package_name }}.chassis.cache.memory import MemoryCache
from {{ cookiecutter.package_name }}.chassis.database.database import Database

from ..application import running

pytestmark = pytest.mark.anyio

PASSWORD = "correct horse battery"
POLICIES = {
    "GET /": "public",
    "GET /health/live": "public",
    "GET /health/ready": "public",
    "GET /metrics": "public",
    "GET /openapi.json": "public",
    "GET /docs": "public",
    "GET /docs/assets/{edition}/{name}": "public",
    "POST /api/auth/register": "public",
    "POST /api/auth/login": "public",
    "POST /api/auth/refresh": "public",
    "POST /api/auth/logout": "authenticated",
    "GET /api/auth/me": "authenticated",
    "POST /api/auth/password": "authenticated",
    "GET /api/users": "admin, superadmin",
    "POST /api/users": "admin, superadmin",
    "GET /api/users/{user_id}": "owner, admin, superadmin",
    "PATCH /api/users/{user_id}": "owner, admin, superadmin",
    "DELETE /api/users/{user_id}": "owner, admin, superadmin",
    "GET /api/admin/users": "admin, superadmin",
    "PATCH /api/admin/users/{user_id}": "admin, superadmin",
}
"""Written out, so that a declaration that is opened by mistake does not take its expectation with it."""
PEOPLE = ("owner", "other", "admin", "superadmin")
UNLIMITED = {"AUTH_ACCOUNT_ATTEMPTS_PER_MINUTE": "10000", "AUTH_ADDRESS_ATTEMPTS_PER_MINUTE": "100000"}


@pytest.fixture
async def client(database_url: str, tmp_path: Path) -> AsyncIterator[httpx2.AsyncClient]:
    key = secrets.token_urlsafe(48)
    async with running(database_url, tmp_path, features=FEATURES, JWT_SECRET=key, **UNLIMITED) as opened:
        yield opened


class People:
    """One of each kind; the owner is whose id stands in the paths, and is born again when somebody deletes it."""

    def __init__(self, client: httpx2.AsyncClient, accounts: Accounts) -> None:
        self._client = client
        self._accounts = accounts
        self._headers: dict[str, dict[str, str]] = {}
        self.owner_id = ""

    async def register(self, name: str) -> None:
        body = {"name": name, "email": f"{name}@example.com", "password": PASSWORD}
        user_id = (await self._client.post("/api/auth/register", json=body)).json()["id"]
        if name == "owner":
            self.owner_id = user_id
        elif name in set(Role):
            await self._accounts.change(COMMAND_LINE, user_id, AccountChanges(role=Role(name)))

    async def headers(self, name: str) -> dict[str, str]:
        if name != "anonymous" and name not in self._headers:
            body = {"email": f"{name}@example.com", "password": PASSWORD}
            token = (await self._client.post("/api/auth/login", json=body)).json()["access_token"]
            self._headers[name] = {"Authorization": f"Bearer {token}"}
        return self._headers.get(name, {})

    async def answered(self, name: str, method: str, answer: httpx2.Response) -> None:
        """Make good what an operation without a body may have done: a logout, or the end of the owner."""
        if answer.status_code == 204:
            self._headers.pop(name)
            if method == "delete":
                self._headers.pop("owner", None)
                await self.register("owner")


@pytest.fixture
async def people(client: httpx2.AsyncClient, database: Database) -> People:
    made = People(client, Accounts(database, MemoryCache()))
    for name in PEOPLE:
        await made.register(name)
    return made


def rejection(policy: str, name: str) -> int:
    """The status that *name* gets for *policy* alone; 0 if it is admitted."""
    if policy == "public":
        return 0
    if name == "anonymous":
        return 401
    if policy == "authenticated" or name in policy.split(", "):
        return 0
    return 404 if "owner" in policy else 403


async def test_every_operation_admits_exactly_whom_its_policy_names(client: httpx2.AsyncClient, people: People) -> None:
    document = (await client.get("/openapi.json")).json()
    operations = [
        (method, path, operation.get("x-policy", "public"))
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    declared = {f"{method.upper()} {path}": policy for method, path, policy in operations}
    assert POLICIES == {operation: declared.get(operation) for operation in POLICIES}
    asked: set[tuple[str, int]] = set()
    for method, path, policy in operations:
        for name in ("anonymous", *PEOPLE):
            target, headers = path.replace("{user_id}", people.owner_id), await people.headers(name)
            # Such a body is right for nothing: whoever is admitted gets 422 for it, and changes nothing.
            body: object = {} if method in {"post", "patch"} else None
            answer = await client.request(method, target, json=body, headers=headers)
            await people.answered(name, method, answer)
            wanted = rejection(policy, name)
            asked.add((policy, wanted))
            admitted = answer.status_code not in {401, 403, 404} or (policy == "public" and "{" in path)
            assert (wanted or "admitted") == ("admitted" if admitted else answer.status_code), (method, path, name)

    assert {"public", "authenticated", "admin, superadmin", "owner, admin, superadmin"} == {p for p, _ in asked}
    assert {0, 401, 403, 404} == {status for _, status in asked}


async def test_the_document_says_who_may_call_and_how_they_prove_it(client: httpx2.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    [(name, scheme)] = document["components"]["securitySchemes"].items()
    operations = [operation for methods in document["paths"].values() for operation in methods.values()]
    guarded = [operation for operation in operations if "x-policy" in operation]

    assert ("http", "bearer") == (scheme["type"], scheme["scheme"])
    assert guarded
    for operation in guarded:
        assert [{name: []}] == operation["security"]
        assert "401" in operation["responses"]
    assert "security" not in json.dumps(document["paths"]["/api/auth/login"])
