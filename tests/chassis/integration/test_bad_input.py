"""Every malformed request is a 4xx problem that names the place, stores nothing and logs no traceback."""

from __future__ import annotations

import asyncio
import json
import shutil
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ..application import running
from ..process.command import Command

pytestmark = pytest.mark.anyio

ADA = {"name": "Ada", "email": "ada@example.com", "password": "correct horse"}
JSON = {"content-type": "application/json"}
ID = str(uuid.UUID(int=1))


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def address(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database of each kind, with the newest schema and no rows."""
    if request.param == "postgresql":
        return cast("str", request.getfixturevalue("postgresql_database"))
    template: Path = request.getfixturevalue("sqlite_template")
    return f"sqlite:///{shutil.copy(template, tmp_path_factory.mktemp('database') / 'test.db')}"


@pytest.fixture(scope="module", params=["application", "process"])
async def service(
    request: pytest.FixtureRequest, address: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[httpx2.AsyncClient]:
    """One service for all, called in process and over real HTTP: none of these requests may leave a trace in it."""
    folder = tmp_path_factory.mktemp("service")
    if request.param == "application":
        async with running(address, folder) as opened:
            yield opened
        return
    with Command(folder, DATABASE_URL=address) as process:
        port = await asyncio.to_thread(process.port)
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=10) as opened:
            yield opened


@pytest.fixture
async def client(service: httpx2.AsyncClient, capfd: pytest.CaptureFixture[str]) -> AsyncIterator[httpx2.AsyncClient]:
    """The service, which in the end must hold no user and have logged no exception."""
    yield service
    assert 0 == (await service.get("/api/users")).json()["pagination"]["total_items"]
    assert "http_exceptions_total{" not in (await service.get("/metrics")).text
    output = capfd.readouterr()
    assert "Traceback" not in output.out + output.err


def body(**fields: Any) -> bytes:
    return json.dumps(ADA | fields).encode()


def member(raw: bytes) -> bytes:
    """A body that is right but for the *raw* value of its name."""
    return body(name="@").replace(b'"@"', raw)


UNREADABLE = {
    "nothing": (b"", "empty"),
    "white space": (b" \n ", "empty"),
    "cut off": (b'{"name": "Ada",\n "email": ', "line 2, column 11"),
    "a trailing comma": (body()[:-1] + b",}", "column 72"),
    "two documents": (body() + b"{}", "line 1"),
    "bad UTF-8": (member(b'"\xff"'), "byte 10"),
    "a byte order mark": (b"\xef\xbb\xbf" + body(), "line 1"),
    "UTF-16": (body().decode().encode("utf-16"), "byte 0"),
    "an integer of 5,000 digits": (member(b"9" * 5000), "line 1"),
    "an infinite number": (member(b"1e400"), "line 1"),
    "NaN": (member(b"NaN"), "line 1"),
    "Infinity": (member(b"Infinity"), "line 1"),
    "a key twice": (body()[:-1] + b', "email": "eve@example.com"}', "'email' twice"),
    "a key twice, once escaped": (body()[:-1] + b', "\\u0065mail": "eve@example.com"}', "'email' twice"),
    "a key twice, deep inside": (member(b'[{"a": [{"b": 1, "b": 1}]}]'), "'b' twice"),
    "half a surrogate pair": (member(b'"\\ud800"'), "line 1"),
    "a raw NUL": (member(b'"a\x00b"'), "line 1"),
    "a form": (b"name=Ada&email=ada%40example.com", "line 1"),
}


@pytest.mark.parametrize(("content", "place"), UNREADABLE.values(), ids=UNREADABLE.keys())
async def test_an_unreadable_body_is_rejected_with_400(client: httpx2.AsyncClient, content: bytes, place: str) -> None:
    answer = await client.post("/api/users", content=content, headers=JSON)

    assert (400, "application/problem+json") == (answer.status_code, answer.headers["content-type"])
    assert place in answer.json()["detail"]


EXCESSIVE = {
    "depth 100,000": (b"[" * 100_000, "10000 values and keys"),
    "depth 100,000, closed": (member(b"[" * 100_000 + b"]" * 100_000), "10000 values and keys"),
    "depth 1,000": (member(b"[" * 1_000 + b"]" * 1_000), "32 levels"),
    "depth 33": (member(b"[" * 32 + b"]" * 32), "32 levels"),
    "10,001 values": (b"[" + b"1," * 9_999 + b"1]", "10000 values and keys"),
    "5,001 members": (b"{" + b'"":1,' * 5_000 + b'"":1}', "10000 values and keys"),
    "more than any route takes": (member(b'"%s"' % (b"a" * 1_048_576)), "1048576 bytes"),
}


@pytest.mark.parametrize(("content", "limit"), EXCESSIVE.values(), ids=EXCESSIVE.keys())
async def test_a_body_beyond_a_limit_is_rejected_with_413(
    client: httpx2.AsyncClient, content: bytes, limit: str
) -> None:
    answer = await client.post("/api/users", content=content, headers=JSON)

    assert (413, "application/problem+json") == (answer.status_code, answer.headers["content-type"])
    assert limit in answer.json()["detail"]


WRONG = {
    "depth 32": (member(b"[" * 31 + b"]" * 31), ["/name"]),
    "10,000 values": (b"[" + b"1," * 9_998 + b"1]", [""]),
    "a list": (b"[]", [""]),
    "null": (b"null", [""]),
    "a number": (b"1", [""]),
    "no field": (b"{}", ["/name", "/email", "/password"]),
    "a missing field": (b'{"name": "Ada", "email": "ada@example.com"}', ["/password"]),
    "an unknown field": (body(role="admin"), ["/role"]),
    "an unknown field with a slash": (body(**{"a/b~c": 1}), ["/a~1b~0c"]),
    "an id chosen by the client": (body(id=ID), ["/id"]),
    "a number for a text": (body(name=1), ["/name"]),
    "true for a text": (body(email=True), ["/email"]),
    "null for a text": (body(name=None), ["/name"]),
    "an empty name": (body(name=""), ["/name"]),
    "a blank name": (body(name="  "), ["/name"]),
    "a long name": (body(name="a" * 101), ["/name"]),
    "NUL in the name": (body(name="a\x00b"), ["/name"]),
    "a line break in the name": (body(name="a\nb"), ["/name"]),
    "an escape in the name": (body(name="a\x1b[2Jb"), ["/name"]),
    "a line separator in the name": (body(name="a\u2028b"), ["/name"]),
    "NUL in the e-mail": (body(email="a\x00@example.com"), ["/email"]),
    "an e-mail without a host": (body(email="ada"), ["/email"]),
    "an e-mail with a line break at its end": (body(email="ada@example.com\n"), ["/email"]),
    "a long e-mail": (body(email="a" * 250 + "@example.com"), ["/email"]),
    "a short password": (body(password="x" * 7), ["/password"]),
    "a long password": (body(password="x" * 1025), ["/password"]),
    "NUL in the password": (body(password="12345678\x00"), ["/password"]),
    "everything at once": (b'{"name": 1, "email": 2, "password": 3, "x": 4}', ["/name", "/email", "/password", "/x"]),
}


@pytest.mark.parametrize(("content", "pointers"), WRONG.values(), ids=WRONG.keys())
async def test_a_wrong_body_is_rejected_with_422_and_every_place(
    client: httpx2.AsyncClient, content: bytes, pointers: list[str]
) -> None:
    answer = await client.post("/api/users", content=content, headers=JSON)

    assert (422, "application/problem+json") == (answer.status_code, answer.headers["content-type"])
    assert pointers == [error["pointer"] for error in answer.json()["errors"]]


@pytest.mark.parametrize("content", [b"{}", b'{"name": null}', b'{"id": "x"}', b'{"password_hash": "x"}', b"[]"])
async def test_a_wrong_change_is_rejected_with_422(client: httpx2.AsyncClient, content: bytes) -> None:
    assert 422 == (await client.patch(f"/api/users/{ID}", content=content, headers=JSON)).status_code


async def test_no_answer_repeats_a_rejected_value(client: httpx2.AsyncClient) -> None:
    short = await client.post("/api/users", content=body(password="hunt3r2"), headers=JSON)
    nested = await client.post("/api/users", content=body(password=["hunt3r2"]), headers=JSON)

    assert "hunt3r2" not in short.text + nested.text


async def test_a_thousand_wrong_fields_are_a_short_answer(client: httpx2.AsyncClient) -> None:
    many = await client.post("/api/users", content=body(**{"x" * 500 + str(n): 1 for n in range(1000)}), headers=JSON)

    assert 422 == many.status_code
    assert len(many.content) < 20_000


@pytest.mark.parametrize(
    "content_type",
    ["", "text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin-1", "application/jsonp"],
)
async def test_another_content_type_is_rejected_with_415(client: httpx2.AsyncClient, content_type: str) -> None:
    answer = await client.post("/api/users", content=body(), headers={"content-type": content_type})

    assert (415, "application/problem+json") == (answer.status_code, answer.headers["content-type"])


@pytest.mark.parametrize(
    "added",
    [
        [("content-type", "text/plain")],
        [("content-type", "application/json")],
        [("content-encoding", "identity"), ("content-encoding", "gzip")],
        [("content-encoding", "identity"), ("content-encoding", "identity")],
    ],
)
async def test_a_body_described_twice_is_rejected_with_415(
    client: httpx2.AsyncClient, added: list[tuple[str, str]]
) -> None:
    answer = await client.post("/api/users", content=body(), headers=[*JSON.items(), *added])

    assert 415 == answer.status_code


async def test_a_body_that_is_said_not_to_be_compressed_is_read(client: httpx2.AsyncClient) -> None:
    answer = await client.post("/api/users", content=b"{}", headers=JSON | {"content-encoding": "Identity"})

    assert 422 == answer.status_code


async def test_a_compressed_body_is_rejected_with_415(client: httpx2.AsyncClient) -> None:
    answer = await client.post("/api/users", content=body(), headers=JSON | {"content-encoding": "gzip"})

    assert 415 == answer.status_code


QUERIES = {
    "limit=0": ["?limit"],
    "limit=101": ["?limit"],
    "limit=1000000000": ["?limit"],
    "limit=-1": ["?limit"],
    "limit=ten": ["?limit"],
    "limit=": ["?limit"],
    "limit=1.5": ["?limit"],
    "limit=1_0": ["?limit"],
    "limit=%2010": ["?limit"],
    "limit=" + "9" * 5000: ["?limit"],
    "page=0": ["?page"],
    "page=1000000000000000000": ["?page"],
    "page=-9223372036854775809": ["?page"],
    "page=true": ["?page"],
    "page=1&page=2": ["?page"],
    "page=1&limit=2&page=1&limit=2": ["?limit", "?page"],
    "sort=email": ["?sort"],
    "sort=": ["?sort"],
    "cursor=nonsense": ["?cursor"],
    "cursor=" + "A" * 21 + "B": ["?cursor"],
    "cursor=" + "A" * 5000: ["?cursor"],
    "cursor=%00": ["?cursor"],
    "cursor=&page=1": ["?cursor"],
    "cursor=&page=2": ["?cursor"],
    "ids=": ["?ids"],
    "ids=1": ["?ids"],
    f"ids={ID.upper().replace('0', 'A')}": ["?ids"],
    f"ids={ID},": ["?ids"],
    f"ids={ID},{ID}": ["?ids"],
    f"ids={ID}%00": ["?ids"],
    f"ids={ID}&limit=5": ["?ids"],
    f"ids={ID}&page=1": ["?ids"],
    f"ids={ID}&cursor=": ["?ids"],
    "ids=" + ",".join(str(uuid.UUID(int=number)) for number in range(101)): ["?ids"],
}


@pytest.mark.parametrize(("query", "pointers"), QUERIES.items(), ids=[query[:40] for query in QUERIES])
async def test_a_wrong_query_is_rejected_with_422_and_the_parameter(
    client: httpx2.AsyncClient, query: str, pointers: list[str]
) -> None:
    answer = await client.get(f"/api/users?{query}")

    assert (422, "application/problem+json") == (answer.status_code, answer.headers["content-type"])
    assert pointers == [error["pointer"] for error in answer.json()["errors"]]


async def test_a_hundred_ids_are_accepted(client: httpx2.AsyncClient) -> None:
    ids = ",".join(str(uuid.UUID(int=number)) for number in range(100))

    assert 200 == (await client.get(f"/api/users?ids={ids}")).status_code


@pytest.mark.parametrize(
    "query", ["limit=%FF", "&".join(f"a{number}=1" for number in range(100))], ids=["UTF-8", "100"]
)
async def test_an_unreadable_query_is_rejected_with_400(client: httpx2.AsyncClient, query: str) -> None:
    assert 400 == (await client.get(f"/api/users?{query}")).status_code


@pytest.mark.parametrize("user_id", ["1", "x" * 5000, "%00", "9223372036854775808", "-1", f"{ID}%0A", ID[:-1]])
@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
async def test_an_id_of_the_wrong_shape_is_rejected(client: httpx2.AsyncClient, method: str, user_id: str) -> None:
    answer = await client.request(method, f"/api/users/{user_id}", json={"name": "Ada"})

    assert (422, "application/problem+json") == (answer.status_code, answer.headers["content-type"])
    assert ["{user_id}"] == [error["pointer"] for error in answer.json()["errors"]]


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
ANY_BODY = st.binary(max_size=60) | ANY_JSON.map(lambda value: json.dumps(value).encode())
"""Bytes, and JSON with everything that Python writes into it, NaN and half surrogate pairs included."""


@pytest.fixture
async def sqlite_client(sqlite_url: str, tmp_path: Path) -> AsyncIterator[httpx2.AsyncClient]:
    async with running(sqlite_url, tmp_path) as opened:
        yield opened


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=ANY_BODY, fields=st.dictionaries(st.sampled_from(["name", "email", "password", "x"]), ANY_JSON))
async def test_no_body_at_all_is_a_fault_of_the_service(
    sqlite_client: httpx2.AsyncClient, content: bytes, fields: dict[str, Any]
) -> None:
    for sent in (content, body(**fields)):
        answer = await sqlite_client.post("/api/users", content=sent, headers=JSON)

        assert answer.status_code in {201, 400, 409, 422}
