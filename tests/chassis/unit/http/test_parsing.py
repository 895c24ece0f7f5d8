from __future__ import annotations

import pytest
from pydantic import BaseModel
from starlette.requests import Request

from acme_service.chassis.errors import Invalid, MalformedRequest
from acme_service.chassis.http import read_body, read_query
from acme_service.chassis.shapes import PageQuery

pytestmark = pytest.mark.anyio


class Inner(BaseModel):
    flags: list[bool] = []


class Order(BaseModel):
    count: int = 0
    price: float = 0
    inner: Inner = Inner()


def request(body: bytes = b"", query: bytes = b"") -> Request:
    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": body, "more_body": False}

    headers = [(b"content-type", b'Application/JSON; charset="UTF-8"')]
    return Request({"type": "http", "method": "POST", "headers": headers, "query_string": query}, receive)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (b'{"count": "1"}', "/count"),
        (b'{"count": true}', "/count"),
        (b'{"count": 1.5}', "/count"),
        (b'{"price": "1"}', "/price"),
        (b'{"inner": {"flags": [true, 1]}}', "/inner/flags/1"),
        (b'{"inner": {"flags": [true, "false"]}}', "/inner/flags/1"),
    ],
)
async def test_a_value_of_another_type_is_not_converted(body: bytes, pointer: str) -> None:
    with pytest.raises(Invalid) as raised:
        await read_body(request(body), Order)

    assert [pointer] == [error.pointer for error in raised.value.errors]


async def test_values_of_the_right_type_are_read() -> None:
    body = b'{"count": 3, "price": 1, "inner": {"flags": [true]}}'

    assert Order(count=3, price=1, inner=Inner(flags=[True])) == await read_body(request(body), Order)


@pytest.mark.parametrize(
    "body",
    [b'{"a": {"b": "x:y"}, "c": "::"}', b'{"a:": 1, "b": [{"a:": 2}, {"a:": 3}]}', b'{"a": "\\u003a", "b": ":"}'],
)
async def test_colons_in_texts_are_not_taken_for_repeated_keys(body: bytes) -> None:
    assert Order() == await read_body(request(body), Order)


@pytest.mark.parametrize("body", [b'{"a": 1, "a": "\\u003a"}', b'{":": 1, ":": 2}', b'[{"a": {"b": 1, "b": 2}}]'])
async def test_a_repeated_key_is_found_wherever_colons_are(body: bytes) -> None:
    with pytest.raises(MalformedRequest, match="twice"):
        await read_body(request(body), Order)


async def test_what_a_query_leaves_out_has_its_default() -> None:
    assert PageQuery(page=1, limit=20) == read_query(request(), PageQuery)


async def test_plus_and_percent_are_decoded_in_a_query() -> None:
    with pytest.raises(Invalid) as raised:
        read_query(request(query=b"a+b%2Fc=1"), PageQuery)

    assert ["?a b/c"] == [error.pointer for error in raised.value.errors]
