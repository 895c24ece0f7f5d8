"""No request of an anonymous client holds the event loop for more than 20 ms, whatever it is made of."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from time import thread_time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, RootModel
from starlette.requests import Request
from starlette.responses import Response

from acme_service.chassis import Core, Feature, Parts
from acme_service.chassis.access import PUBLIC
from acme_service.chassis.application import Application
from acme_service.chassis.http import ApiRoute, allow, describe, read_body
from acme_service.chassis.server.collector import tune_collector

from ..application import started
from ..loop_time import MOST_MS, median_ms, post
from ..sample import SERVICE

pytestmark = pytest.mark.anyio

LARGEST = 1_048_576
HEADER_BYTES = 32_000
NESTED = RootModel[list[dict[str, int] | list[str]]]
"""A choice costs what all that is tried costs, and is what most bodies have none of."""


class Strict(BaseModel):
    """As bodies should be declared."""

    model_config = ConfigDict(extra="forbid")

    things: list[datetime] = []


class Anything(RootModel[Any]):
    """Any JSON."""


MODELS: dict[str, type[BaseModel]] = {"/strict": Strict, "/nested": NESTED, "/anything": Anything}


def extra(_core: Core) -> Parts:
    routes = [ApiRoute(path, {"POST": reader(model)}, name=path[1:]) for path, model in MODELS.items()]
    return Parts(routes=[*routes, ApiRoute("/parsed", {"POST": allow(PUBLIC, parsed)}, name="parsed")])


@describe(summary="Parse", description="Parses, as Starlette's users do.", responses={200: Anything})
async def parsed(request: Request) -> Response:
    try:
        await request.json()
    except (ValueError, RecursionError):
        return Response(status_code=400)
    return Response()


def reader(model: type[BaseModel]) -> Any:
    @describe(summary="Read", description="Reads.", responses={200: Anything})
    async def read(request: Request) -> Response:
        await read_body(request, model)
        return Response()

    return allow(PUBLIC, read)


@pytest.fixture(scope="module", autouse=True)
def collector() -> Iterator[None]:
    """The garbage collector as the server sets it: here it would look at everything that pytest keeps."""
    before = gc.get_threshold()
    tune_collector()
    yield
    gc.unfreeze()
    gc.set_threshold(*before)


@pytest.fixture(scope="module")
async def app(sqlite_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Application]:
    service = replace(SERVICE, features=(*SERVICE.features, Feature(name="extra", build=extra)))
    folder: Path = tmp_path_factory.mktemp("bounded")
    environment = {"ALLOWED_HOSTS": "localhost", "CORS_ORIGINS": "http://a.test", "TRUSTED_PROXIES": "127.0.0.0/8"}
    async with started(sqlite_url, folder, service=service, **environment) as opened:
        yield opened


@pytest.fixture(scope="module")
def sqlite_url(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    target = tmp_path_factory.mktemp("database") / "test.db"
    target.write_bytes(sqlite_template.read_bytes())
    return f"sqlite:///{target}"


def filled(start: bytes, piece: bytes, end: bytes, most: int = LARGEST) -> bytes:
    """*piece* as often as it fits into *most* bytes between the others."""
    return start + piece * ((most - len(start) - len(end)) // len(piece)) + end


def members(count: int, name: str = "{:x}", value: str = "1") -> bytes:
    return ("{" + ",".join(f'"{name.format(number)}":{value}' for number in range(count)) + "}").encode()


def things(item: bytes, count: int = 9_990) -> bytes:
    return b'{"things":[' + b",".join([item] * min(count, (LARGEST - 20) // (len(item) + 1))) + b"]}"


BODIES = {
    "94,000 members": b'{"q":":",' + members(80_000)[1:],
    "4,990 members": members(4_990),
    "4,990 members and colons in texts": members(4_990, ":{:x}", '":"'),
    "long names": members(4_990, "{:0190d}"),
    "one name again and again": filled(b"{", b'"a":1,', b'"a":1}'),
    "9,000 equal names": b"{" + b'"a":1,' * 4_990 + b'"a":1}',
    "empty lists": filled(b"[", b"[],", b"[]]"),
    "empty objects": filled(b"[", b"{},", b"{}]"),
    "9,990 empty lists": things(b"[]"),
    "4,990 objects": things(b'{"a":1}', 3_300),
    "wrong in each way": things(b'"x"'),
    "pairs of lists": b"[" + b"[[],[]]," * 3_000 + b"[]]",
    "opening brackets": filled(b"", b"[", b""),
    "opening braces": filled(b"", b'{"":', b""),
    "31 levels": b"[" * 31 + b"]" * 31,
    "commas": filled(b"[", b",", b"]"),
    "quotes": filled(b"", b'"', b""),
    "quotes, odd": filled(b'"', b'"', b"")[:-1],
    "texts": filled(b"[", b'"",', b'""]'),
    "backslashes": filled(b'{"name":"', b"\\\\", b'"}'),
    "backslashes alone": filled(b"", b"\\", b""),
    "escaped quotes": filled(b'{"name":"', b'\\"', b'"}'),
    "escapes": filled(b'{"name":"', b"\\u00e9", b'"}'),
    "surrogate pairs": filled(b'{"name":"', b"\\ud83d\\ude00", b'"}'),
    "half a pair": filled(b'{"name":"', b"\\ud83d", b'"}'),
    "a long name": filled(b'{"name":"', b"a", b'"}'),
    "spaces in a name": filled(b'{"name":"', b" ", b'"}'),
    "a long e-mail": filled(b'{"name":"a","password":"correct horse","email":"a@', b"b.", b'c"}'),
    "a long password": filled(b'{"name":"a","email":"a@b.test","password":"', b"p", b'"}'),
    "combining marks": filled(b'{"name":"', "\u0315\u0300\u05ae".encode(), b'"}'),
    "letters that grow": filled(b'{"email":"', "\ufdfa".encode(), b'"}'),
    "a text without an end": filled(b'{"name":"', b"a", b""),
    "bad UTF-8": filled(b'{"name":"', b"\xc3\xa9", b'\xff"}'),
    "bad UTF-8 from the start": filled(b"", b"\xff", b""),
    "a long number": filled(b'{"name":', b"9", b"}"),
    "a long fraction": filled(b'{"name":0.', b"0", b"1}"),
    "a long exponent": filled(b'{"name":1e', b"0", b"1}"),
    "numbers of 4,299 digits": things(b"9" * 4_299),
    "numbers of 300 digits": things(b"9" * 300),
    "numbers of 100 digits": things(b"1" * 100),
    "fractions": things(b"1." + b"3" * 95),
    "large numbers": things(b"1e308"),
    "times": things(b'"2026-11-27T01:00:00.000000+00:00"'),
    "texts that are no times": things(b'"' + b"2" * 90 + b'"'),
    "spaces": filled(b"", b" ", b"{}"),
    "line ends": filled(b"", b"\r\n", b"[1,]"),
    "spaces between brackets": filled(b"[", b" [ ] ,", b"[]]"),
    "NUL": filled(b"", b"\x00", b""),
    "UTF-16": filled(b"", "[1,".encode("utf-16"), b""),
}


@pytest.mark.parametrize("path", ["/api/users", "/parsed", *MODELS])
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
async def test_a_json_body_of_any_shape_holds_the_loop_briefly(app: Application, path: str, body: bytes) -> None:
    assert LARGEST >= len(body)
    longest, status = await median_ms(app, post(path, body), body)

    assert MOST_MS >= longest
    assert status in {200, 400, 413, 422}


@pytest.mark.parametrize(("body", "status"), [("94,000 members", 413), ("4,990 members", 422), ("quotes", 400)])
async def test_the_bodies_are_what_they_are_called(app: Application, body: str, status: int) -> None:
    assert status == (await median_ms(app, post("/api/users", BODIES[body]), BODIES[body]))[1]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-32-le"])
@pytest.mark.parametrize(
    ("text", "status"),
    [
        ('{"a":[1,2,NaN]}', 200),
        (f"[{'1,' * 9_998}1]", 200),
        (f"[{'1,' * 9_999}1]", 413),
        ("[" * 32 + "]" * 32, 200),
        ("[" * 33 + "]" * 33, 413),
        (f'["\u2200",{"1," * 9_999}1]', 413),  # of whose bytes in UTF-16 one is that of a quote
        ("[1,", 400),
        (f"[-{'9' * 999}]", 200),
        (f"[{'9' * 1_001}]", 400),
    ],
)
async def test_what_a_handler_parses_is_held_to_the_same_limits(
    app: Application, text: str, status: int, encoding: str
) -> None:
    body = text.encode(encoding)

    assert status == (await median_ms(app, post("/parsed", body), body))[1]


async def test_a_callback_that_holds_the_loop_is_seen() -> None:
    async def busy(*_: Any) -> None:
        ends = thread_time() + 0.03
        while thread_time() < ends:
            pass

    assert MOST_MS < (await median_ms(busy, get()))[0]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.text(alphabet='[]{},:"\\ \n19eu-.a\u00e9\U0001f600', max_size=12),
    st.text(alphabet='[]{},:"\\ \n19eu-.a\u00e9\U0001f600', min_size=1, max_size=12),
    st.sampled_from([100, 9_000, LARGEST]),
    st.sampled_from(["/api/users", *MODELS]),
)
async def test_a_repeated_piece_holds_the_loop_briefly(
    app: Application, start: str, piece: str, size: int, path: str
) -> None:
    body = filled(start.encode(), piece.encode(), b"", max(size, 200))

    assert MOST_MS >= (await median_ms(app, post(path, body), body))[0]


def get(path: str = "/api/users", query: bytes = b"", *headers: tuple[bytes, bytes], **scope: Any) -> dict[str, Any]:
    return {"path": path, "query_string": query, "headers": [(b"host", b"localhost"), *headers], **scope}


def times(piece: bytes, size: int = HEADER_BYTES) -> bytes:
    return piece * (size // len(piece))


ID = b"00000000-0000-7000-8000-000000000000"
REQUESTS = {
    "parameters": get(query=times(b"a=1&")),
    "parameters without a name": get(query=times(b"&")),
    "equals": get(query=times(b"=")),
    "percent": get(query=times(b"%")),
    "percent signs": get(query=b"ids=" + times(b"%25")),
    "percent letters": get(query=times(b"%C3%A9=&", 1_200)),
    "percent of no letter": get(query=times(b"%ff")),
    "ids": get(query=b"ids=" + times(ID + b",")),
    "commas in ids": get(query=b"ids=" + times(b",")),
    "a long id": get(query=b"ids=" + times(b"0")),
    "a long page": get(query=b"page=" + times(b"9")),
    "a long cursor": get(query=b"cursor=" + times(b"A")),
    "a long path": get("/" + "a" * HEADER_BYTES),
    "slashes": get("/" * HEADER_BYTES),
    "a path of tokens": get("/" + "eyJ" * 10_000),
    "a path of dots": get("/" + "eyJ." * 8_000),
    "a path of keys": get("/" + "-----BEGIN PRIVATE KEY-----" * 1_000),
    "a path of passwords": get("/" + "token=" * 5_000),
    "a path of names": get("/" + "passw" + "a" * HEADER_BYTES + "="),
    "a path of addresses": get("/" + "://a:" * 6_000 + "@"),
    "a path of schemes": get("/" + "bearer " * 4_000),
    "a path of hashes": get("/" + "$argon2id$" * 3_000),
    "an id in the path": get("/api/users/" + "0" * HEADER_BYTES),
    "an asset": get("/docs/assets/" + "a" * HEADER_BYTES + "/b"),
    "fields": get("/", b"", *[(b"x-%d" % number, times(b"a", 300)) for number in range(100)]),
    "cookies": get("/", b"", *[(b"cookie", times(b"a=b; ", 300))] * 99),
    "a cookie": get("/", b"", (b"cookie", times(b"a=b;"))),
    "accepted types": get("/", b"", (b"accept", times(b"a/b;q=0.1,"))),
    "accepted codings": get("/", b"", (b"accept-encoding", times(b"gzip;q=0,"))),
    "a token": get("/", b"", (b"authorization", b"Bearer " + times(b"a."))),
    "a host": get("/", headers=[(b"host", times(b"a."))]),
    "brackets in a host": get("/", headers=[(b"host", times(b"["))]),
    "an origin": get("/", b"", (b"origin", times(b"http://"))),
    "a preflight": get(
        "/",
        b"",
        (b"origin", b"http://a.test"),
        (b"access-control-request-method", b"GET"),
        (b"access-control-request-headers", times(b"a,")),
        method="OPTIONS",
    ),
    "a request id": get("/", b"", (b"x-request-id", times(b"a"))),
    "a trace": get("/", b"", (b"traceparent", times(b"00-"))),
    "a version": get("/", b"", (b"if-none-match", times(b'"a",'))),
    "a range": get("/docs/assets/x/swagger-ui.css", b"", (b"range", b"bytes=" + times(b"0-0,"))),
    "forwarded": get("/", b"", (b"x-forwarded-for", times(b"127.0.0.1,"))),
    "forwarded commas": get("/", b"", (b"x-forwarded-for", times(b","))),
    "a type": post("/api/users", b"{}", times(b"application/json;")),
    "spaces in a type": post("/api/users", b"{}", b"application/json" + times(b" ") + b";"),
}


@pytest.mark.parametrize("scope", REQUESTS.values(), ids=REQUESTS.keys())
async def test_a_head_of_any_shape_holds_the_loop_briefly(app: Application, scope: dict[str, Any]) -> None:
    longest, status = await median_ms(app, scope, b"{}" if scope.get("method") == "POST" else b"")

    assert MOST_MS >= longest
    assert 500 > status


@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "multipart/form-data; boundary=a"])
@pytest.mark.parametrize(
    "piece", [b"a=1&", b"&", b"--a\r\n", b"\r\n--a\r\nContent-Disposition: form-data; name=b\r\n\r\n"]
)
async def test_a_form_is_rejected_before_it_is_parsed(app: Application, content_type: str, piece: bytes) -> None:
    body = filled(b"", piece, b"")
    longest, status = await median_ms(app, post("/api/users", body, content_type.encode()), body)

    assert MOST_MS >= longest
    assert 415 == status


async def test_a_compressed_body_is_rejected_before_it_is_unpacked(app: Application) -> None:
    scope = post("/api/users", b"x" * 1000)
    scope["headers"].append((b"content-encoding", b"gzip"))
    longest, status = await median_ms(app, scope, b"x" * 1000)

    assert MOST_MS >= longest
    assert 415 == status
