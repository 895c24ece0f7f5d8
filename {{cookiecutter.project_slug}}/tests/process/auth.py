"""A service with authenticated users as a real process, and what people do with it."""

from __future__ import annotations

import itertools
import secrets
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx2
import jwt

from {{ cookiecutter.package_name }}.features import FEATURES

from .command import PACKAGE, Command, environment

KEY = secrets.token_urlsafe(48)
PASSWORD = "correct horse battery"
UNLIMITED = {"AUTH_ACCOUNT_ATTEMPTS_PER_MINUTE": "10000", "AUTH_ADDRESS_ATTEMPTS_PER_MINUTE": "100000"}

_numbers = itertools.count(1)


class AuthCommand(Command):
    """`serve` with every feature."""

    features = FEATURES


class Person:
    """Somebody who has registered and logged in."""

    def __init__(self, client: httpx2.Client, email: str = "") -> None:
        self.client = client
        self.email = email or f"person{next(_numbers)}@example.com"
        client.post("/api/auth/register", json={"name": "Ada", "email": self.email, "password": PASSWORD})
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


def console(folder: Path, *arguments: str, entered: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the whole service; *entered* is its standard input."""
    return subprocess.run(
        [sys.executable, "-m", PACKAGE, *arguments],
        cwd=folder,
        env=environment(folder, **variables),
        input=entered,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
