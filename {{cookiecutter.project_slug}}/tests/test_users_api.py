"""The users over HTTP: one test for each promise of the API, as an admin calls it."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import httpx2
import pytest
from sqlalchemy import update

from {{ cookiecutter.package_name }}.chassis.cache import MemoryCache
from {{ cookiecutter.package_name }}.chassis.database import Database
from {{ cookiecutter.package_name }}.models.user import User, UserCreate
from {{ cookiecutter.package_name }}.services.users import Users

from .application import MISSING_ID, cheap_passwords, new_user

pytestmark = pytest.mark.anyio

FIELDS = {"id", "name", "email", "created_at", "updated_at", "version"}
"""What clients see of a user. Add a new field here once it may be shown; a secret one belongs in no response."""


@pytest.fixture
async def five(admin_client: httpx2.AsyncClient, database: Database) -> list[str]:  # noqa: ARG001 - the admin comes first
    """The ids of five more users, oldest first, stored with hashes that cost nothing."""
    passwords = cheap_passwords()
    users = Users(database, MemoryCache(), passwords)
    new = [UserCreate.model_validate(new_user(f"User{number}")) for number in range(5)]
    ids = [(await users.create(user)).id for user in new]
    passwords.close()
    return ids


async def rename(database: Database, names: dict[str, str]) -> None:
    async with database.transaction() as session:
        for user_id, name in names.items():
            await session.execute(update(User).where(User.id == user_id).values(name=name))


def ids_of(answer: httpx2.Response) -> list[str]:
    return [user["id"] for user in answer.json()["items"]]


async def create(client: httpx2.AsyncClient, **fields: Any) -> httpx2.Response:
    return await client.post("/api/users", json=new_user(**fields))


async def test_a_created_user_is_found_where_its_location_says(admin_client: httpx2.AsyncClient) -> None:
    created = await create(admin_client)

    assert 201 == created.status_code
    assert f"/api/users/{created.json()['id']}" == created.headers["location"]
    assert created.json() == (await admin_client.get(created.headers["location"])).json()


async def test_a_response_shows_exactly_the_fields_of_a_user(admin_client: httpx2.AsyncClient) -> None:
    user = (await create(admin_client, email="Ada@example.com")).json()

    assert set(user) == FIELDS, "a response shows other fields of a user: list them in FIELDS, or in UserOut"
    assert ("Ada", "ada@example.com") == (user["name"], user["email"])


async def test_times_are_in_utc_by_rfc_3339(admin_client: httpx2.AsyncClient) -> None:
    user = (await create(admin_client)).json()

    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", user["created_at"])


async def test_a_taken_email_is_a_conflict_in_any_letter_case(admin_client: httpx2.AsyncClient) -> None:
    await create(admin_client, email="ada@example.com")
    rejected = await create(admin_client, email="ADA@EXAMPLE.COM")

    assert (409, "application/problem+json") == (rejected.status_code, rejected.headers["content-type"])


async def test_of_five_concurrent_creations_with_one_email_one_is_created(admin_client: httpx2.AsyncClient) -> None:
    answers = await asyncio.gather(*(create(admin_client) for _ in range(5)))

    assert [201] + [409] * 4 == sorted(answer.status_code for answer in answers)


async def test_a_client_sets_no_field_that_is_not_offered(admin_client: httpx2.AsyncClient) -> None:
    for field in ("id", "role", "active", "password_hash", "created_at"):
        rejected = await create(admin_client, **{field: "admin"})

        assert 422 == rejected.status_code, field
        assert [f"/{field}"] == [error["pointer"] for error in rejected.json()["errors"]]


async def test_no_password_is_printed_or_sent_back(
    admin_client: httpx2.AsyncClient, capfd: pytest.CaptureFixture[str]
) -> None:
    answers = [await create(admin_client, password=password) for password in ("canary password",) * 2]
    answers.append(await create(admin_client, password=["canary"]))
    output = capfd.readouterr()
    seen = output.out + output.err + "".join(answer.text for answer in answers)

    assert [201, 409, 422] == [answer.status_code for answer in answers]
    assert "canary" not in seen
    assert "argon2" not in seen


async def test_a_change_of_a_user_is_read_back(admin_client: httpx2.AsyncClient, five: list[str]) -> None:
    path = f"/api/users/{five[0]}"
    await admin_client.get(path)
    changed = await admin_client.patch(path, json={"name": "Countess"})

    assert (200, "Countess") == (changed.status_code, changed.json()["name"])
    assert changed.json() == (await admin_client.get(path)).json()


async def test_a_change_of_a_missing_user_is_not_found(admin_client: httpx2.AsyncClient) -> None:
    assert 404 == (await admin_client.patch(f"/api/users/{MISSING_ID}", json={"name": "Ada"})).status_code


async def test_a_deleted_user_is_gone(admin_client: httpx2.AsyncClient, five: list[str]) -> None:
    path = f"/api/users/{five[0]}"
    await admin_client.get(path)
    deleted = await admin_client.delete(path)

    assert (204, b"") == (deleted.status_code, deleted.content)
    assert [404, 404] == [(await getattr(admin_client, method)(path)).status_code for method in ("get", "delete")]


async def test_a_missing_user_is_not_found(admin_client: httpx2.AsyncClient) -> None:
    answer = await admin_client.get(f"/api/users/{MISSING_ID}")

    assert (404, True) == (answer.status_code, MISSING_ID in answer.json()["detail"])


async def test_a_list_is_a_page_of_twenty_with_totals(admin_client: httpx2.AsyncClient, five: list[str]) -> None:
    answer = (await admin_client.get("/api/users")).json()
    pagination = answer["pagination"]

    assert five == [user["id"] for user in answer["items"]][-5:]
    assert (1, 20, len(answer["items"])) == tuple(pagination[name] for name in ("page", "limit", "total_items"))


async def test_a_page_holds_its_part_of_the_list(admin_client: httpx2.AsyncClient, five: list[str]) -> None:
    everyone = ids_of(await admin_client.get("/api/users"))
    answer = await admin_client.get("/api/users", params={"page": 2, "limit": 2})

    assert set(five) <= set(everyone)
    assert everyone[2:4] == ids_of(answer)
    assert (True, True) == tuple(answer.json()["pagination"][name] for name in ("has_next", "has_prev"))


async def test_cursors_lead_through_the_whole_list(admin_client: httpx2.AsyncClient, five: list[str]) -> None:
    met: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        answer = await admin_client.get("/api/users", params={"cursor": cursor, "limit": 2})
        assert {"items", "next_cursor"} == set(answer.json())
        met += ids_of(answer)
        cursor = answer.json()["next_cursor"]

    assert five == met[-5:]
    assert ids_of(await admin_client.get("/api/users")) == met


async def walked(client: httpx2.AsyncClient, **first: str) -> list[str]:
    """The ids of a list, by cursors that carry how it was asked for."""
    met: list[str] = []
    parameters: dict[str, str] = {"cursor": "", "limit": "2", **first}
    while parameters["cursor"] is not None:
        answer = await client.get("/api/users", params=parameters)
        assert 200 == answer.status_code, answer.text
        met += ids_of(answer)
        parameters = {"limit": "2", "cursor": answer.json()["next_cursor"]}
    return met


@pytest.mark.parametrize("sort", ["created_at", "-created_at", "name", "-name"])
async def test_a_list_is_sorted_by_page_and_by_cursor(
    admin_client: httpx2.AsyncClient, database: Database, five: list[str], sort: str
) -> None:
    await rename(database, dict(zip(five, ["b", "a", "b", "a", "c"], strict=True)))
    everyone = (await admin_client.get("/api/users", params={"limit": 100})).json()["items"]
    field = sort.removeprefix("-")
    expected = sorted(((user[field], user["id"]) for user in everyone), reverse=sort.startswith("-"))
    by_page = ids_of(await admin_client.get("/api/users", params={"sort": sort, "limit": 100}))

    assert by_page == await walked(admin_client, sort=sort)
    assert [each for _, each in expected if each in five] == [each for each in by_page if each in five]


async def test_a_page_past_the_end_still_has_the_totals(admin_client: httpx2.AsyncClient, five: list[str]) -> None:
    first = (await admin_client.get("/api/users")).json()["pagination"]
    answer = (await admin_client.get("/api/users", params={"page": 900})).json()

    assert first["total_items"] >= len(five)
    assert ([], first["total_items"]) == (answer["items"], answer["pagination"]["total_items"])


async def test_filters_are_for_a_list_that_is_not_public(
    admin_client: httpx2.AsyncClient, database: Database, five: list[str]
) -> None:
    """Elsewhere they are unknown: they would tell strangers whose e-mail is known here."""
    user = (await admin_client.get(f"/api/users/{five[1]}")).json()
    found = await admin_client.get("/api/users", params={"email": user["email"].upper()})
    if (await anonymous_list_status(admin_client)) == 200:
        assert [("?email", 422)] == [(found.json()["errors"][0]["pointer"], found.status_code)]
        return

    assert [user["id"]] == ids_of(found)
    assert 1 == found.json()["pagination"]["total_items"]
    await rename(database, dict.fromkeys(five[:3], "Same"))
    assert five[:3] == await walked(admin_client, name="Same")
    assert five[2::-1] == await walked(admin_client, name="Same", sort="-created_at")
    assert [] == ids_of(await admin_client.get("/api/users", params={"name": "same"}))


async def anonymous_list_status(client: httpx2.AsyncClient) -> int:
    return (await client.get("/api/users", headers={"Authorization": ""})).status_code


async def test_what_is_not_declared_is_rejected(admin_client: httpx2.AsyncClient) -> None:
    for query in ("sort=email", "sort=", "sort=-", "sort=id", "sort=name&sort=name", "password_hash=x", "role=admin"):
        assert (await admin_client.get(f"/api/users?{query}")).status_code in {400, 422}, query


async def test_a_cursor_continues_its_own_list_alone(admin_client: httpx2.AsyncClient, five: list[str]) -> None:
    cursor = (await admin_client.get("/api/users?sort=name&cursor=&limit=2")).json()["next_cursor"]
    same = await admin_client.get("/api/users", params={"sort": "name", "cursor": cursor, "limit": 2})
    other = await admin_client.get("/api/users", params={"sort": "-name", "cursor": cursor, "limit": 2})
    forged = await admin_client.get("/api/users", params={"cursor": cursor[:-4] + "AAAA", "limit": 2})

    assert five
    assert [200, 422, 422] == [each.status_code for each in (same, other, forged)]


async def test_users_are_found_by_ids_in_the_order_asked(admin_client: httpx2.AsyncClient, five: list[str]) -> None:
    asked = [five[3], MISSING_ID, five[0]]
    answer = await admin_client.get("/api/users", params={"ids": ",".join(asked)})

    assert {"items"} == set(answer.json())
    assert [five[3], five[0]] == ids_of(answer)


async def test_a_user_is_created_once_for_each_idempotency_key(admin_client: httpx2.AsyncClient) -> None:
    key = {"Idempotency-Key": "7f9c3c1e-signup"}
    responses = [await admin_client.post("/api/users", json=new_user(), headers=key) for _ in range(2)]
    other = await admin_client.post("/api/users", json=new_user("Grace"), headers=key)

    assert [201, 201] == [response.status_code for response in responses]
    assert responses[0].content == responses[1].content
    assert "true" == responses[1].headers["idempotency-replayed"]
    assert 422 == other.status_code


async def test_what_failed_by_a_taken_email_fails_again_with_the_same_key(admin_client: httpx2.AsyncClient) -> None:
    key = {"Idempotency-Key": "7f9c3c1e-signup"}
    taken = await create(admin_client)
    for _ in range(2):
        assert 409 == (await admin_client.post("/api/users", json=new_user(), headers=key)).status_code
        await admin_client.delete(taken.headers["location"])

    assert 201 == (await create(admin_client)).status_code


async def test_each_change_has_another_etag(admin_client: httpx2.AsyncClient) -> None:
    created = await create(admin_client)
    path = created.headers["location"]
    changes = [{"name": "Countess"}, {"name": "Countess"}, {"password": "a longer pass phrase"}]
    changed = [await admin_client.patch(path, json=change) for change in changes]
    read = await admin_client.get(path)

    assert '"1"' == created.headers["etag"]
    assert ['"2"', '"3"', '"4"'] == [response.headers["etag"] for response in changed]
    assert ('"4"', 4, "no-store") == (read.headers["etag"], read.json()["version"], read.headers["cache-control"])


@pytest.mark.parametrize("tag", ['"1"', 'W/"2"', '"foreign"', '"1", W/"2"'])
async def test_a_user_that_someone_else_has_changed_is_left_alone(admin_client: httpx2.AsyncClient, tag: str) -> None:
    path = (await create(admin_client)).headers["location"]
    await admin_client.patch(path, json={"name": "Countess"})
    missing = path.rpartition("/")[0] + f"/{MISSING_ID}"
    for method, body in (("PATCH", {"name": "Ada"}), ("DELETE", None)):
        response = await admin_client.request(method, path, headers={"If-Match": tag}, json=body)

        assert 412 == response.status_code, method
        assert "Countess" == (await admin_client.get(path)).json()["name"]
        assert 404 == (await admin_client.request(method, missing, headers={"If-Match": tag}, json=body)).status_code


@pytest.mark.parametrize("tag", ['"2"', '"1", "2", "7"', "*"])
async def test_a_user_in_the_version_that_was_read_is_changed(admin_client: httpx2.AsyncClient, tag: str) -> None:
    path = (await create(admin_client)).headers["location"]
    await admin_client.patch(path, json={"name": "Countess"})

    changed = await admin_client.patch(path, json={"name": "Ada"}, headers={"If-Match": tag})
    assert (200, '"3"') == (changed.status_code, changed.headers["etag"])
    assert 204 == (await admin_client.delete(path, headers={"If-Match": changed.headers["etag"]})).status_code


async def test_of_two_changes_of_one_version_one_is_made(admin_client: httpx2.AsyncClient) -> None:
    path = (await create(admin_client)).headers["location"]
    responses = await asyncio.gather(
        *(admin_client.patch(path, json={"name": name}, headers={"If-Match": '"1"'}) for name in ("Ada", "Grace"))
    )

    assert [200, 412] == sorted(response.status_code for response in responses)
