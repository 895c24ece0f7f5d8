from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from {{ cookiecutter.package_name }}.models.user import UserCreate
from {{ cookiecutter.package_name }}.chassis.cache.memory import MemoryCache
from {{ cookiecutter.package_name }}.chassis.database.database import Database
from {{ cookiecutter.package_name }}.chassis.passwords import Passwords
from {{ cookiecutter.package_name }}.services.users import Users

from ..application import running

pytestmark = pytest.mark.anyio

MISSING_ID = "01890000-0000-7000-8000-000000000000"
ADA = {"name": "Ada", "email": "Ada@example.com", "password": "correct horse"}


@pytest.fixture
async def client(database_url: str, tmp_path: Path) -> AsyncIterator[httpx2.AsyncClient]:
    async with running(database_url, tmp_path) as opened:
        yield opened


@pytest.fixture
async def five(database: Database) -> list[str]:
    """The ids of five users, oldest first, stored with hashes that cost nothing."""
    passwords = Passwords(memory_kib=8, iterations=1)
    users = Users(database, MemoryCache(), passwords)
    ids = []
    for number in range(5):
        new = {"name": f"User {number}", "email": f"user{number}@example.com", "password": "correct horse"}
        ids.append((await users.create(UserCreate.model_validate(new))).id)
    passwords.close()
    return ids


def ids_of(answer: httpx2.Response) -> list[str]:
    return [user["id"] for user in answer.json()["items"]]


async def create(client: httpx2.AsyncClient, **fields: Any) -> httpx2.Response:
    return await client.post("/api/users", json=ADA | fields)


async def test_a_created_user_is_answered_with_its_place(client: httpx2.AsyncClient) -> None:
    created = await create(client)

    assert 201 == created.status_code
    assert f"/api/users/{created.json()['id']}" == created.headers["location"]
    assert created.json() == (await client.get(created.headers["location"])).json()


async def test_a_user_is_answered_with_these_fields_and_never_a_password(client: httpx2.AsyncClient) -> None:
    user = (await create(client)).json()

    assert {"id", "name", "email", "created_at", "updated_at"} == set(user)
    assert ("Ada", "ada@example.com") == (user["name"], user["email"])


async def test_times_are_in_utc_by_rfc_3339(client: httpx2.AsyncClient) -> None:
    user = (await create(client)).json()

    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", user["created_at"])


async def test_a_taken_email_is_a_conflict_in_any_letter_case(client: httpx2.AsyncClient) -> None:
    await create(client, email="ada@example.com")
    rejected = await create(client, email="ADA@EXAMPLE.COM")

    assert (409, "application/problem+json") == (rejected.status_code, rejected.headers["content-type"])


async def test_of_twenty_concurrent_creations_with_one_email_one_is_created(client: httpx2.AsyncClient) -> None:
    answers = await asyncio.gather(*(create(client) for _ in range(20)))

    assert [201] + [409] * 19 == sorted(answer.status_code for answer in answers)


async def test_no_password_is_printed_or_answered(
    client: httpx2.AsyncClient, capfd: pytest.CaptureFixture[str]
) -> None:
    created = await create(client, password="canary password")
    answers = [created, await create(client, password="canary password"), await create(client, password=["canary"])]
    answers.append(await client.patch(created.headers["location"], json={"password": "canary password 2"}))
    output = capfd.readouterr()

    assert [201, 409, 422, 200] == [answer.status_code for answer in answers]
    assert "canary" not in output.out + output.err + "".join(answer.text for answer in answers)
    assert "argon2" not in output.out + output.err + "".join(answer.text for answer in answers)


async def test_a_change_is_answered_and_read_back(client: httpx2.AsyncClient, five: list[str]) -> None:
    path = f"/api/users/{five[0]}"
    await client.get(path)
    changed = await client.patch(path, json={"name": "Countess"})

    assert (200, "Countess") == (changed.status_code, changed.json()["name"])
    assert changed.json() == (await client.get(path)).json()


async def test_a_deleted_user_is_gone(client: httpx2.AsyncClient, five: list[str]) -> None:
    path = f"/api/users/{five[0]}"
    await client.get(path)
    deleted = await client.delete(path)

    assert (204, b"") == (deleted.status_code, deleted.content)
    assert [404, 404] == [(await client.get(path)).status_code, (await client.delete(path)).status_code]


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
async def test_a_missing_user_is_not_found(client: httpx2.AsyncClient, method: str) -> None:
    body = {"name": "Nobody"} if method == "PATCH" else None
    answer = await client.request(method, f"/api/users/{MISSING_ID}", json=body)

    assert (404, MISSING_ID in answer.json()["detail"]) == (answer.status_code, True)


async def test_a_list_is_a_page_of_twenty_with_totals(client: httpx2.AsyncClient, five: list[str]) -> None:
    answer = (await client.get("/api/users")).json()
    pagination = {"page": 1, "limit": 20, "total_items": 5, "total_pages": 1, "has_next": False, "has_prev": False}

    assert (five, pagination) == ([user["id"] for user in answer["items"]], answer["pagination"])


async def test_a_page_holds_its_part_of_the_list(client: httpx2.AsyncClient, five: list[str]) -> None:
    answer = await client.get("/api/users", params={"page": 2, "limit": 2})

    assert five[2:4] == ids_of(answer)
    assert (True, True) == (answer.json()["pagination"]["has_next"], answer.json()["pagination"]["has_prev"])


async def test_cursors_lead_through_the_whole_list(client: httpx2.AsyncClient, five: list[str]) -> None:
    met: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        answer = await client.get("/api/users", params={"cursor": cursor, "limit": 2})
        assert {"items", "next_cursor"} == set(answer.json())
        met += ids_of(answer)
        cursor = answer.json()["next_cursor"]

    assert five == met


async def test_users_are_answered_by_ids_in_the_order_asked(client: httpx2.AsyncClient, five: list[str]) -> None:
    asked = [five[3], MISSING_ID, five[0]]
    answer = await client.get("/api/users", params={"ids": ",".join(asked)})

    assert {"items"} == set(answer.json())
    assert [five[3], five[0]] == ids_of(answer)


async def test_a_lost_database_is_a_problem_with_a_time_to_retry(tmp_path: Path, sqlite_url: str) -> None:
    async with running(sqlite_url, tmp_path, DB_POOL_TIMEOUT_SECONDS="0.2") as client:
        holder = Database(sqlite_url)
        async with holder.transaction():
            rejected = await create(client)
        await holder.close()

        assert (503, "1") == (rejected.status_code, rejected.headers["retry-after"])
        assert 201 == (await create(client)).status_code
