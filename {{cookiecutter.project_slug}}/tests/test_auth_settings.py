"""What the settings of the accounts do: how often one may try, the key of the tokens, and what production demands."""

from __future__ import annotations

import argparse
from pathlib import Path

import httpx2
import pytest

from {{ cookiecutter.package_name }}.app import SERVICE
from {{ cookiecutter.package_name }}.chassis.cli import read_settings
from {{ cookiecutter.package_name }}.chassis.settings import SettingsError, masked_lines
from {{ cookiecutter.package_name }}.features.auth import AUTH

from .application import Application, new_user, production, running
from .auth import KEY, access_headers, create_account

pytestmark = pytest.mark.anyio


async def log_in(client: httpx2.AsyncClient, email: str, password: str, **headers: str) -> httpx2.Response:
    return await client.post("/api/auth/login", json={"email": email, "password": password}, headers=headers)


async def test_the_sixth_try_in_a_minute_is_rejected_but_not_from_elsewhere(sqlite_url: str, tmp_path: Path) -> None:
    user = new_user()
    async with running(sqlite_url, tmp_path, TRUSTED_PROXIES="127.0.0.1") as application:
        await create_account(application, "Ada")
        async with application.client() as client:
            tries = [await log_in(client, user["email"], "wrong") for _ in range(6)]
            right = await log_in(client, user["email"], user["password"])
            elsewhere = await log_in(client, user["email"], user["password"], **{"X-Forwarded-For": "203.0.113.7"})

    assert [401] * 5 + [429] == [answer.status_code for answer in tries]
    assert 0 < int(tries[5].headers["retry-after"]) <= 60
    assert tries[5].json()["type"].endswith(":too-many-requests")
    assert (429, 200) == (right.status_code, elsewhere.status_code)


async def test_a_right_password_resets_the_count(sqlite_url: str, tmp_path: Path) -> None:
    user = new_user()
    async with running(sqlite_url, tmp_path) as application, application.client() as client:
        await create_account(application, "Ada")
        for _ in range(2):
            assert [401] * 4 == [(await log_in(client, user["email"], "wrong")).status_code for _ in range(4)]
            assert 200 == (await log_in(client, user["email"], user["password"])).status_code


@pytest.mark.parametrize(
    ("addresses", "last"),
    [([f"2001:db8::{n}" for n in range(1, 7)], 429), ([f"::ffff:203.0.113.{n}" for n in range(6)], 401)],
    ids=["one network of IPv6", "six addresses of IPv4"],
)
async def test_a_subscriber_has_the_tries_of_one_address(
    sqlite_url: str, tmp_path: Path, addresses: list[str], last: int
) -> None:
    variables = {"TRUSTED_PROXIES": "127.0.0.1"}
    async with running(sqlite_url, tmp_path, **variables) as application, application.client() as client:
        tries = [await log_in(client, "a@example.com", "x", **{"X-Forwarded-For": address}) for address in addresses]

    assert [401] * 5 + [last] == [answer.status_code for answer in tries]


async def test_a_forged_address_and_many_accounts_do_not_escape_the_limits(sqlite_url: str, tmp_path: Path) -> None:
    limit = {"AUTH_ADDRESS_ATTEMPTS_PER_MINUTE": "8"}
    async with running(sqlite_url, tmp_path, **limit) as application, application.client() as client:
        one = [await log_in(client, "a@example.com", "x", **{"X-Forwarded-For": f"203.0.113.{n}"}) for n in range(6)]
        many = [await log_in(client, f"b{n}@example.com", "x") for n in range(4)]

    assert [401] * 5 + [429] == [answer.status_code for answer in one]
    assert [401] * 3 + [429] == [answer.status_code for answer in many]


async def test_requests_of_an_address_are_counted_before_the_body_is_read(sqlite_url: str, tmp_path: Path) -> None:
    """Right ones and wrong ones, and of whatever is no request for tokens at all."""
    user, limit = new_user(), {"AUTH_REQUESTS_PER_MINUTE": "7", "TRUSTED_PROXIES": "127.0.0.1"}
    async with running(sqlite_url, tmp_path, **limit) as application, application.client() as client:
        await create_account(application, "Ada")
        answers = [await log_in(client, user["email"], user["password"]) for _ in range(4)]
        answers.append(await client.post("/api/auth/refresh", json={"refresh_token": "x"}))
        answers.append(await client.post("/api/auth/register", content=b"no JSON"))
        headers = {"Authorization": f"Bearer {answers[0].json()['access_token']}"}
        answers.append(await client.post("/api/auth/password", headers=headers, content=b"{}"))
        answers += [await client.post(f"/api/auth/{path}", content=b"{}") for path in ("login", "refresh", "register")]
        others = [
            await client.get("/api/auth/me", headers=headers),
            await client.post("/api/auth/logout", headers=headers),
            await log_in(client, user["email"], user["password"], **{"X-Forwarded-For": "203.0.113.7"}),
        ]

    assert [200] * 4 + [401, 415, 415] + [429] * 3 == [answer.status_code for answer in answers]
    assert all(0 < int(answer.headers["retry-after"]) <= 60 for answer in answers[7:])
    assert [200, 204, 200] == [answer.status_code for answer in others]


async def test_thirty_junk_logins_stop_no_login_with_the_right_password_but_from_their_address(
    sqlite_url: str, tmp_path: Path
) -> None:
    async with running(sqlite_url, tmp_path, TRUSTED_PROXIES="127.0.0.1") as application:
        await create_account(application, "Ada")
        async with application.client() as client:
            junk = [await log_in(client, f"x{number}@example.com", "x") for number in range(31)]
            user, elsewhere = new_user(), {"X-Forwarded-For": "203.0.113.7"}
            answer = await log_in(client, user["email"], user["password"], **elsewhere)

    assert [401] * 30 + [429] == [answer.status_code for answer in junk]
    assert 200 == answer.status_code


async def test_the_key_is_replaced_without_ending_a_session(sqlite_url: str, tmp_path: Path) -> None:
    new = KEY[::-1]
    before: dict[str, str] = {}
    for keys, status in (
        ({"JWT_SECRET": KEY}, 200),
        ({"JWT_SECRET": new, "JWT_SECRET_PREVIOUS": KEY}, 200),
        ({"JWT_SECRET": new}, 401),
    ):
        async with running(sqlite_url, tmp_path, **keys) as application, application.client() as client:
            if not before:
                await create_account(application, "Ada")
                before = await access_headers(client, "Ada")
            now = await access_headers(client, "Ada")

            assert status == (await client.get("/api/auth/me", headers=before)).status_code
            assert 200 == (await client.get("/api/auth/me", headers=now)).status_code


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("", "missing"),
        ("a-short-one", "shorter than 32"),
        ("generate:48", "placeholder"),  # as .env.example has it
        ("change-me" * 5, "sample"),
        ("ab" * 20, "different"),
        ("a-string-secret-at-least-256-bits-long", "sample"),  # as jwt.io has it
        ("7Hd93kd0" * 4, "repeated"),
        ("abcdefghijklmnopqrstuvwxyz0123456789", "sequence"),
    ],
)
def test_production_rejects_a_missing_or_weak_key(tmp_path: Path, key: str, reason: str) -> None:
    with pytest.raises(SettingsError) as rejected:
        read_settings(SERVICE, production(JWT_SECRET=key), tmp_path)

    [line] = str(rejected.value).splitlines()
    assert line.startswith("JWT_SECRET: ")
    assert reason in line
    assert not key or key not in line


def test_development_warns_of_a_key_that_no_restart_survives(tmp_path: Path) -> None:
    assert any("JWT_SECRET" in warning for warning in read_settings(SERVICE, {}, tmp_path).warnings)


def test_the_name_of_other_services_for_the_life_of_a_token_is_warned_of(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("JWT_EXPIRES_IN=15m\n")
    for environ, source in (({"JWT_EXPIRES_IN": "15m"}, "environment"), ({}, ".env")):
        warning = f"{source}: 'JWT_EXPIRES_IN' is not a setting; did you mean 'JWT_EXPIRES_IN_SECONDS'?"
        folder = tmp_path if source == ".env" else tmp_path / "nowhere"
        assert warning in read_settings(SERVICE, environ, folder).warnings


def test_production_limits_each_client_and_masks_the_key(tmp_path: Path) -> None:
    lines = masked_lines(read_settings(SERVICE, production(), tmp_path))

    assert {"RATE_LIMIT_PER_MINUTE=1200", "JWT_SECRET=***"} <= set(lines)


async def test_create_admin_promotes_who_is_there_only_if_that_is_wished(
    application: Application, client: httpx2.AsyncClient, capsys: pytest.CaptureFixture[str]
) -> None:
    [command] = AUTH.commands
    parser = argparse.ArgumentParser()
    command.configure(parser)
    await create_account(application, "Ada")

    async def run(*arguments: str) -> tuple[int, str]:
        return await command.run(application.core, parser.parse_args(arguments)), capsys.readouterr().err

    assert (2, "a user has this e-mail: with --promote, they become an admin\n") == await run("ada@example.com")
    unknown = "no user has this e-mail: without --promote, one is created\n"
    assert (2, unknown) == await run("eve@example.com", "--promote")
    assert 0 == (await run("ADA@example.com", "--promote", "--role", "admin"))[0]
    assert 200 == (await client.get("/api/admin/users", headers=await access_headers(client, "Ada"))).status_code
