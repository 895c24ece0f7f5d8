"""Users who have logged in: clients of theirs in process, and what they do with a real one."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from typing import Any

import httpx2
import jwt
import pytest

from {{ cookiecutter.package_name }}.models.auth import AccountChanges, Role
from {{ cookiecutter.package_name }}.models.user import UserCreate
from {{ cookiecutter.package_name }}.services.auth_accounts import COMMAND_LINE, Accounts
from {{ cookiecutter.package_name }}.services.users import Users

from .application import PASSWORD, Application, ClientOf, new_user

KEY = secrets.token_urlsafe(48)
PRODUCTION = {"JWT_SECRET": KEY}
"""What production needs of the feature."""
UNLIMITED = {
    "AUTH_ACCOUNT_ATTEMPTS_PER_MINUTE": "10000",
    "AUTH_ADDRESS_ATTEMPTS_PER_MINUTE": "100000",
    "AUTH_REQUESTS_PER_MINUTE": "1000000",
}

_numbers = itertools.count(1)


async def create_account(application: Application, name: str, role: str = "user") -> str:
    """The id of a new user with *role*."""
    core = application.core
    user = await core.get(Users).create(UserCreate.model_validate(new_user(name)))
    if role != Role.USER:
        await core.get(Accounts).change(COMMAND_LINE, user.id, AccountChanges(role=Role(role)))
    return user.id


async def access_headers(client: httpx2.AsyncClient, name: str) -> dict[str, str]:
    """What the user of *name*, logged in by *client*, sends with each request."""
    answer = await client.post("/api/auth/login", json={"email": new_user(name)["email"], "password": PASSWORD})
    return bearer(answer.raise_for_status().json()["access_token"])


@pytest.fixture
async def client_of(application: Application, client: httpx2.AsyncClient) -> AsyncIterator[ClientOf]:
    """`await client_of("ada")`, or with `role="admin"`: a client of a user of that name, who is logged in."""
    opened: dict[str, httpx2.AsyncClient] = {}
    async with AsyncExitStack() as stack:

        async def of(name: str, *, role: str = "user") -> httpx2.AsyncClient:
            if name not in opened:
                await create_account(application, name, role)
                headers = await access_headers(client, name)
                opened[name] = await stack.enter_async_context(application.client(**headers))
            return opened[name]

        yield of


@pytest.fixture
async def admin_client(client_of: ClientOf) -> httpx2.AsyncClient:
    """A client of a superadmin."""
    return await client_of("root", role="superadmin")


class Person:
    """Somebody who has registered and logged in at a real process."""

    def __init__(self, client: httpx2.Client, email: str = "") -> None:
        self.client = client
        self.email = email or f"person{next(_numbers)}@example.com"
        client.post("/api/auth/register", json=new_user(email=self.email))
        self.log_in()
        self.id: str = self.get("/api/auth/me").json()["id"]

    def log_in(self, password: str = PASSWORD) -> None:
        answer = log_in(self.client, self.email, password)
        assert 200 == answer.status_code, answer.text
        self.tokens: dict[str, Any] = answer.json()

    @property
    def headers(self) -> dict[str, str]:
        return bearer(self.tokens["access_token"])

    def get(self, path: str) -> httpx2.Response:
        return self.client.get(path, headers=self.headers)

    def send(self, method: str, path: str, body: object = None) -> httpx2.Response:
        return self.client.request(method, path, json=body, headers=self.headers)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def log_in(client: httpx2.Client, email: str, password: str = PASSWORD, **headers: str) -> httpx2.Response:
    return client.post("/api/auth/login", json={"email": email, "password": password}, headers=headers)


def refresh(client: httpx2.Client, token: str) -> httpx2.Response:
    return client.post("/api/auth/refresh", json={"refresh_token": token})


def payload_of(token: str) -> dict[str, Any]:
    payload: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return payload


def forged(
    token: str,
    *,
    claims: Mapping[str, object] | None = None,
    key: str = KEY,
    algorithm: str = "HS256",
    headers: dict[str, str] | None = None,
) -> str:
    """*token* signed anew with other *claims*; None drops one."""
    payload = {name: value for name, value in (payload_of(token) | dict(claims or {})).items() if value is not None}
    return jwt.encode(payload, key, algorithm=algorithm, headers=headers)
