"""Every operation of the OpenAPI document, called by users of every kind, on each kind of database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import httpx2
import pytest

from {{ cookiecutter.package_name }}.features import FEATURES

from .application import Application, running
from .auth import UNLIMITED, access_headers, create_account

pytestmark = pytest.mark.anyio

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
for _feature in FEATURES:  # another one lists its own beside its fixtures
    if find_spec(f"tests.{_feature.name}"):
        POLICIES |= getattr(import_module(f"tests.{_feature.name}"), "POLICIES", {})
ROLES = {"owner": "user", "other": "user", "admin": "admin", "superadmin": "superadmin"}
"""Who calls, and their roles; the id of the owner stands in the paths."""


@pytest.fixture
async def application(database_url: str, tmp_path: Path) -> AsyncIterator[Application]:
    async with running(database_url, tmp_path, **UNLIMITED) as opened:
        yield opened


class Callers:
    """One of each kind; the owner is created again when somebody has deleted it."""

    def __init__(self, application: Application, client: httpx2.AsyncClient) -> None:
        self._application = application
        self._client = client
        self._headers: dict[str, dict[str, str]] = {}
        self.owner_id = ""

    async def create(self, name: str) -> None:
        user_id = await create_account(self._application, name, ROLES[name])
        self.owner_id = user_id if name == "owner" else self.owner_id

    async def status(self, name: str, method: str, path: str) -> int:
        """What *name* gets. The body is valid nowhere: an admitted caller gets 422 for it, and changes nothing."""
        if name in ROLES and name not in self._headers:
            self._headers[name] = await access_headers(self._client, name)
        body: object = {} if method in {"POST", "PATCH", "PUT"} else None
        target = path.replace("{user_id}", self.owner_id)
        response = await self._client.request(method, target, json=body, headers=self._headers.get(name, {}))
        if response.status_code == 204:
            await self._restore(name, method)
        return response.status_code

    async def _restore(self, name: str, method: str) -> None:
        """Make good what an operation without a body did: a logout, or the end of the owner."""
        self._headers.pop(name)
        if method == "DELETE":
            self._headers.pop("owner", None)
            await self.create("owner")


@pytest.fixture
async def callers(application: Application, client: httpx2.AsyncClient) -> Callers:
    made = Callers(application, client)
    for name in ROLES:
        await made.create(name)
    return made


async def document_of(client: httpx2.AsyncClient) -> dict[str, str]:
    """The policy of each operation, as the OpenAPI document declares it."""
    document = (await client.get("/openapi.json")).json()
    return {
        f"{method.upper()} {path}": operation.get("x-policy", "public")
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def rejection(policy: str, name: str) -> int:
    """The status that *name* gets for *policy* alone; 0 if it is admitted."""
    if policy == "public":
        return 0
    if name == "anonymous":
        return 401
    if policy == "authenticated" or name in policy.split(", "):
        return 0
    return 404 if "owner" in policy else 403


async def test_every_operation_is_listed_here_with_its_policy(client: httpx2.AsyncClient) -> None:
    declared = await document_of(client)
    missing = [f'    "{name}": "{policy}",' for name, policy in declared.items() if POLICIES.get(name) != policy]
    gone = [f'    "{name}": "{policy}",' for name, policy in POLICIES.items() if declared.get(name) != policy]

    assert not missing, "if this policy is meant, write into POLICIES:\n" + "\n".join(missing)
    assert not gone, "no operation has this policy any more, remove from POLICIES:\n" + "\n".join(gone)


async def test_every_operation_admits_exactly_whom_its_policy_names(
    client: httpx2.AsyncClient, callers: Callers
) -> None:
    for operation in await document_of(client):
        method, path = operation.split(" ")
        policy = POLICIES.get(operation)
        for name in ("anonymous", *ROLES) if policy else ():
            assert policy
            status = await callers.status(name, method, path)
            admitted = status not in {401, 403, 404} or (policy == "public" and "{" in path)

            assert (rejection(policy, name) or "admitted") == ("admitted" if admitted else status), (operation, name)


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
    assert [] == document["paths"]["/api/auth/login"]["post"]["security"]
