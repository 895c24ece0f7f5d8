"""A request with an Idempotency-Key has one effect, however often it is sent."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import orjson
import pytest

from ..application import running
from ..process.effects import SERVICE

pytestmark = pytest.mark.anyio

ORDER = {"name": "one"}


@pytest.fixture
async def client(database_url: str, tmp_path: Path) -> AsyncIterator[httpx2.AsyncClient]:
    origin = "https://page.example.org"
    async with running(database_url, tmp_path, service=SERVICE, CORS_ORIGINS=origin) as client:
        yield client


async def send(
    client: httpx2.AsyncClient,
    key: str = "key-1",
    body: Any = ORDER,
    method: str = "POST",
    path: str = "/orders",
    **wish: Any,
) -> httpx2.Response:
    wishes = {f"X-{name}": str(value) for name, value in wish.items()}
    return await client.request(method, path, json=body, headers={"Idempotency-Key": key, **wishes})


async def effects(client: httpx2.AsyncClient) -> int:
    return int((await client.get("/orders")).text)


async def test_the_same_request_again_gets_the_same_response_and_has_no_effect(client: httpx2.AsyncClient) -> None:
    first = await send(client)
    again = await send(client, **{"Request-ID": "again"})

    assert (201, 201) == (first.status_code, again.status_code)
    assert first.content == again.content
    assert first.headers["location"] == again.headers["location"]
    assert first.headers["content-type"] == again.headers["content-type"]
    assert str(len(first.content)) == again.headers["content-length"]
    assert (None, "true") == tuple(each.headers.get("idempotency-replayed") for each in (first, again))
    assert ("once=1", None) == tuple(each.headers.get("set-cookie") for each in (first, again))
    assert "again" == again.headers["x-request-id"]
    assert 1 == await effects(client)


async def test_without_a_key_each_request_has_its_effect(client: httpx2.AsyncClient) -> None:
    for _ in range(2):
        assert 201 == (await client.post("/orders", json=ORDER)).status_code

    assert 2 == await effects(client)


@pytest.mark.parametrize("body", [{"name": "two"}, {"name": "one", "amount": 2}, {"name": "one", "amount": 1}])
async def test_the_same_key_with_another_body_is_422(client: httpx2.AsyncClient, body: dict[str, Any]) -> None:
    await send(client)
    other = await send(client, body=body)

    assert 422 == other.status_code
    assert other.json()["type"].endswith(":idempotency-key-reused")
    assert 1 == await effects(client)


async def test_a_body_is_the_same_however_it_is_written_and_whatever_its_secret(client: httpx2.AsyncClient) -> None:
    first = await send(client, body={"name": "one", "secret": "a", "amount": 3})
    again = await client.post(
        "/orders",
        content=b'{ "amount":3,"secret" : "b", "name":"\\u006fne" }',
        headers={"Idempotency-Key": "key-1", "Content-Type": "application/json"},
    )

    assert first.content == again.content


async def test_a_key_belongs_to_its_method_path_and_caller(
    client: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await send(client)
    await send(client, method="PUT")
    await send(client, path="/other-orders")
    await send(client, key="key-2")
    await send(client, key="Key-1")
    assert 5 == await effects(client)

    monkeypatch.setattr(client._transport, "client", ("192.0.2.7", 1))  # noqa: SLF001 - another address
    await send(client)
    assert 6 == await effects(client)


@pytest.mark.parametrize("key", ["", " ", "k" * 256, "k\xe9y", "k\ty"])
async def test_a_key_that_is_none_is_rejected(client: httpx2.AsyncClient, key: str) -> None:
    response = await client.post("/orders", json=ORDER, headers=[(b"Idempotency-Key", key.encode("latin-1"))])

    assert 400 == response.status_code
    assert "1 to 255 printable" in response.json()["detail"]


async def test_two_keys_are_rejected_and_the_longest_is_taken(client: httpx2.AsyncClient) -> None:
    assert 400 == (await client.post("/orders", json=ORDER, headers=[("Idempotency-Key", "a")] * 2)).status_code
    assert 201 == (await send(client, key='"~' + "k" * 253)).status_code
    assert 1 == await effects(client)


@pytest.mark.parametrize(
    ("rejection", "status"),
    [("conflict", 409), ("forbidden", 403), ("large", 413), ("gone", 410), ("not modified", 304)],
)
async def test_a_rejection_is_stored(client: httpx2.AsyncClient, rejection: str, status: int) -> None:
    first = await send(client, reject=rejection)
    again = await send(client)

    assert (status, status) == (first.status_code, again.status_code)
    assert first.content == again.content
    for name in ("content-type", "x-gone"):
        assert first.headers.get(name) == again.headers.get(name)
    assert "true" == again.headers["idempotency-replayed"]
    assert "connection" not in again.headers
    assert 0 == await effects(client)
    assert 422 == (await send(client, body={"name": "two"})).status_code


@pytest.mark.parametrize(
    ("wish", "status"),
    [
        ({"reject": "limit"}, 429),
        ({"reject": "unknown"}, 401),
        ({"reject": "unavailable"}, 503),
        ({"reject": "gateway"}, 502),
        ({"reject": "slow down"}, 429),
        ({"status": 429}, 429),
        ({"status": 401}, 401),
        ({"status": 500}, 500),
    ],
)
async def test_what_may_pass_is_not_stored(client: httpx2.AsyncClient, wish: dict[str, Any], status: int) -> None:
    assert status == (await send(client, **wish)).status_code
    before = await effects(client)

    assert 201 == (await send(client)).status_code
    assert before + 1 == await effects(client)


@pytest.mark.parametrize("wish", ["bug", "forgotten"])
async def test_after_a_bug_the_key_is_free_unless_the_service_forgot_it(client: httpx2.AsyncClient, wish: str) -> None:
    assert 500 == (await send(client, reject=wish)).status_code
    if wish == "bug":
        assert 201 == (await send(client)).status_code


async def test_a_body_that_is_wrong_or_not_read_takes_no_key(client: httpx2.AsyncClient) -> None:
    assert 422 == (await send(client, body={"name": 1})).status_code
    assert 201 == (await send(client)).status_code


async def test_of_many_at_once_one_has_the_effect_and_all_get_its_response(client: httpx2.AsyncClient) -> None:
    responses = await asyncio.gather(*(send(client, seconds=0.05) for _ in range(10)))

    assert {201} == {response.status_code for response in responses}
    assert 1 == len({response.content for response in responses})
    assert 9 == sum("idempotency-replayed" in response.headers for response in responses)
    assert 1 == await effects(client)


async def test_who_waits_longer_than_a_second_gets_409_and_later_the_response(client: httpx2.AsyncClient) -> None:
    first = asyncio.ensure_future(send(client, seconds=2))
    await asyncio.sleep(0.3)
    started = time.monotonic()
    second = await send(client)

    assert 409 == second.status_code
    assert second.json()["type"].endswith(":idempotency-key-in-use")
    assert "1" == second.headers["retry-after"]
    assert 0.9 < time.monotonic() - started < 1.9
    assert (await first).content == (await send(client)).content
    assert 1 == await effects(client)


async def test_a_request_that_its_client_gave_up_frees_the_key(client: httpx2.AsyncClient) -> None:
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(send(client, seconds=5), 0.2)

    assert 201 == (await send(client)).status_code
    assert 1 == await effects(client)


async def test_browsers_may_send_and_read_the_fields(client: httpx2.AsyncClient) -> None:
    origin = {"Origin": "https://page.example.org"}
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "idempotency-key,if-match"}
    preflight = await client.options("/orders", headers={**origin, **asked})
    response = await client.get("/orders", headers=origin)

    assert 200 == preflight.status_code
    assert {"Idempotency-Key", "If-Match"} <= set(preflight.headers["access-control-allow-headers"].split(", "))
    assert {"ETag", "Idempotency-Replayed"} <= set(response.headers["access-control-expose-headers"].split(", "))


async def test_the_document_shows_the_fields(client: httpx2.AsyncClient) -> None:
    document = orjson.loads((await client.get("/openapi.json")).content)
    post, patch = (document["paths"]["/orders"][method] for method in ("post", "patch"))
    change = document["paths"]["/api/users/{user_id}"]["patch"]

    assert ["Idempotency-Key"] == [each["name"] for each in post["parameters"]]
    assert {"400", "409", "422"} <= set(post["responses"])
    assert "Idempotency-Replayed" in post["responses"]["201"]["headers"]
    assert [("If-Match", True)] == [(each["name"], each["required"]) for each in patch["parameters"]]
    assert {"400", "412", "428"} <= set(patch["responses"])
    assert [("user_id", True), ("If-Match", False)] == [
        (each["name"], each["required"]) for each in change["parameters"]
    ]
    assert "412" in change["responses"]
    assert "428" not in change["responses"]
    assert "ETag" in change["responses"]["200"]["headers"]


@pytest.mark.parametrize(
    ("tags", "versions"),
    [
        (['"3"'], [3]),
        (['"3", "5"'], [3, 5]),
        (['"3"', ' "5" , W/"7"'], [3, 5]),
        (['W/"3"'], []),
        (['"03"'], []),
        (['"a,b"', '"4"'], [4]),
        (['""'], []),
        (['"-1"'], []),
        ([f'"{10**30}"'], []),
        (["*"], []),
    ],
)
async def test_the_versions_of_if_match_are_compared_strongly(
    client: httpx2.AsyncClient, tags: list[str], versions: list[int]
) -> None:
    response = await client.patch("/orders", headers=[("If-Match", tag) for tag in tags])

    assert (200, versions) == (response.status_code, response.json())


@pytest.mark.parametrize("value", ["", "3", '"3', '"3" "4"', "*, *", 'w/"3"', '"3",*', ",", ",".join(['"1"'] * 51)])
async def test_what_is_no_list_of_tags_is_400(client: httpx2.AsyncClient, value: str) -> None:
    response = await client.patch("/orders", headers={"If-Match": value})

    assert 400 == response.status_code
    assert "If-Match" in response.json()["detail"]


async def test_a_route_may_demand_if_match(client: httpx2.AsyncClient) -> None:
    response = await client.patch("/orders")

    assert 428 == response.status_code
    assert response.json()["type"].endswith(":precondition-required")
