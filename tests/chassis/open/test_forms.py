"""Starlette's forms, in the handlers of a route: read in slices, and within limits."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from acme_service.chassis.access import PUBLIC
from acme_service.chassis.http import ApiRoute, allow, describe

from ..loop_time import MOST_MS, median_ms, post
from .harness import Client, running, service

pytestmark = pytest.mark.anyio

LARGEST = 1_048_576
ENCODED = b"application/x-www-form-urlencoded"
MULTIPART = b"multipart/form-data; boundary=x"
FIELD = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n'
FILE = b'--x\r\nContent-Disposition: form-data; name="a"; filename="f"\r\n\r\n'


@describe(summary="Read", description="A form.", responses={200: dict[str, int]})
async def read(request: Request) -> Response:
    async with request.form() as form:
        return JSONResponse({"fields": len(form.multi_items())})


@describe(summary="Read", description="A form with a large field.", responses={200: dict[str, int]})
async def read_large(request: Request) -> Response:
    async with request.form(max_part_size=LARGEST) as form:
        return JSONResponse({"fields": len(form.multi_items())})


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    routes = [
        ApiRoute(f"/{handler.__name__}", {"POST": allow(PUBLIC, handler)}, name=handler.__name__)
        for handler in (read, read_large)
    ]
    async with running(service(*routes), tmp_path) as opened:
        yield opened


FLOODS = {
    "fields": (400, ENCODED, b"a&" * (LARGEST // 2)),
    "no fields": (200, ENCODED, b"&" * LARGEST),
    "one field of escapes": (400, ENCODED, b"a=" + b"%41" * (LARGEST // 3 - 1)),
    "the largest field of escapes": (200, ENCODED, b"a=" + b"%41" * (131_070 // 3)),
    "999 fields of escapes": (200, ENCODED, (b"a=" + b"%41" * 340 + b"&") * 999),
    "parts": (400, MULTIPART, (FIELD + b"b\r\n") * (LARGEST // 60)),
    "one part of line ends": (200, MULTIPART, FIELD + b"\r\n" * (LARGEST // 2 - 100) + b"\r\n--x--\r\n"),
    "1,000 files": (200, MULTIPART, (FILE + b"b\r\n") * 1_000 + b"--x--\r\n"),
    "1,001 files": (400, MULTIPART, (FILE + b"b\r\n") * 1_001 + b"--x--\r\n"),
    "a long name": (400, MULTIPART, FIELD[:-5] + b"a" * (LARGEST - 100)),
}


@pytest.mark.parametrize("flood", FLOODS)
async def test_a_form_of_any_shape_holds_the_loop_briefly(client: Client, flood: str) -> None:
    expected, content_type, body = FLOODS[flood]
    assert len(body) <= LARGEST
    longest, status = await median_ms(client.app, post("/read", body, content_type), body)

    assert longest <= MOST_MS
    assert expected == status


async def test_a_handler_may_accept_a_larger_field(client: Client) -> None:
    body = b"a=" + b"b" * 200_000
    headers = {"Content-Type": ENCODED.decode()}

    assert 400 == (await client.post("/read", content=body, headers=headers)).status_code
    assert {"fields": 1} == (await client.post("/read_large", content=body, headers=headers)).json()


async def test_a_multipart_field_may_be_as_large_as_starlette_lets_it(client: Client) -> None:
    form = {"a": (None, b"b" * 200_000), "file": ("f.txt", b"c")}

    assert {"fields": 2} == (await client.post("/read", files=form)).json()
