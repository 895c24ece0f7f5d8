"""Bodies of errors: what a handler or a mounted application wrote is sent, a bare reason phrase is not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.types import Receive, Scope, Send

from acme_service.chassis.access import PUBLIC
from acme_service.chassis.errors import ConfigurationError
from acme_service.chassis.http import mount

from .harness import route, running, service

pytestmark = pytest.mark.anyio


async def teapot(_request: Request) -> Response:
    return JSONResponse({"short": True, "stout": True}, 418)


async def form(_request: Request) -> Response:
    return HTMLResponse("<form><p>Wrong password</p></form>", 401)


async def bare(_request: Request) -> Response:
    return PlainTextResponse("Not Found", 404)


async def short_page(_request: Request) -> Response:
    return HTMLResponse("Not Found", 404)


async def explained(_request: Request) -> Response:
    return PlainTextResponse("No Fruit.", 404)


async def empty(_request: Request) -> Response:
    return Response(status_code=409)


async def stream(_request: Request) -> Response:
    async def parts() -> AsyncIterator[bytes]:
        yield b"Not Found"
        yield b", but a stream"

    return StreamingResponse(parts(), 404, media_type="text/plain")


async def raises(_request: Request) -> Response:
    raise HTTPException(429, "Slow down.", headers={"Retry-After": "7"})


async def in_two_messages(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 503, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"Service Unavailable"})


async def without_headers(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 400})
    await send({"type": "http.response.body", "body": b"Bad Request"})


api = FastAPI()


@api.get("/items/{item_id}")
async def item(item_id: int) -> int:
    return item_id


def everything() -> Any:
    return service(
        route("/teapot", teapot),
        route("/form", form),
        route("/bare", bare),
        route("/explained", explained),
        route("/empty", empty),
        route("/short", short_page),
        route("/stream", stream),
        route("/raises", raises),
        mount("/api", api, policy=PUBLIC, name="api"),
        mount("/two", in_two_messages, policy=PUBLIC, name="two"),
        mount("/nameless", without_headers, policy=PUBLIC, name="nameless"),
        mount("/starlette", Starlette(routes=[Route("/bare", bare)]), policy=PUBLIC, name="starlette"),
    )


@pytest.mark.parametrize(
    ("path", "status", "kind", "body"),
    [
        ("/teapot", 418, "application/json", '{"short":true,"stout":true}'),
        ("/form", 401, "text/html; charset=utf-8", "<form><p>Wrong password</p></form>"),
        ("/explained", 404, "text/plain; charset=utf-8", "No Fruit."),
        ("/empty", 409, None, ""),
        ("/short", 404, "text/html; charset=utf-8", "Not Found"),
        ("/stream", 404, "text/plain; charset=utf-8", "Not Found, but a stream"),
        ("/api/nothing", 404, "application/json", '{"detail":"Not Found"}'),
        ("/nameless/", 400, None, "Bad Request"),
    ],
)
async def test_what_was_written_is_sent(tmp_path: Path, path: str, status: int, kind: str | None, body: str) -> None:
    async with running(everything(), tmp_path) as client:
        response = await client.get(path, headers={"X-Request-ID": "mine"})

    assert (status, kind, body) == (response.status_code, response.headers.get("content-type"), response.text)
    assert ["mine"] == response.headers.get_list("x-request-id")
    assert "nosniff" == response.headers["x-content-type-options"]
    assert response.headers.get("content-length", str(len(body))) == str(len(body))
    assert [status] == [line["status"] for line in client.lines]


async def test_a_validation_error_of_fastapi_keeps_its_detail(tmp_path: Path) -> None:
    async with running(everything(), tmp_path) as client:
        response = await client.get("/api/items/x")

    assert 422 == response.status_code
    assert ["path", "item_id"] == response.json()["detail"][0]["loc"]


@pytest.mark.parametrize(
    ("path", "status"), [("/bare", 404), ("/two/", 503), ("/starlette/bare", 404), ("/starlette/nothing", 404)]
)
async def test_a_bare_reason_phrase_becomes_problem_details(tmp_path: Path, path: str, status: int) -> None:
    async with running(everything(), tmp_path) as client:
        response = await client.get(path, headers={"X-Request-ID": "mine"})
        head = await client.head(path, headers={"X-Request-ID": "mine"})

    assert (status, "application/problem+json") == (response.status_code, response.headers["content-type"])
    assert [str(len(response.content))] == response.headers.get_list("content-length")
    assert {"status": status, "instance": "mine"}.items() <= response.json().items()
    assert (status, response.headers) == (head.status_code, head.headers)
    assert [status, status] == [line["status"] for line in client.lines]


async def test_a_bare_phrase_without_its_body_is_one_for_head_alone(tmp_path: Path) -> None:
    async def bodiless(_scope: Scope, _receive: Receive, send: Send) -> None:
        headers = [(b"content-type", b"text/plain"), (b"content-length", b"9")]
        await send({"type": "http.response.start", "status": 404, "headers": headers})
        await send({"type": "http.response.body"})

    async with running(service(mount("/m", bodiless, policy=PUBLIC, name="m")), tmp_path) as client:
        head, get = await client.head("/m/"), await client.get("/m/")

    assert ["application/problem+json", "text/plain"] == [each.headers["content-type"] for each in (head, get)]


async def test_an_exception_after_a_start_without_a_body_is_a_whole_500(tmp_path: Path) -> None:
    async def breaks(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 404, "headers": [(b"content-type", b"text/plain")]})
        raise ZeroDivisionError

    async with running(service(mount("/m", breaks, policy=PUBLIC, name="m")), tmp_path) as client:
        response = await client.get("/m/")

    assert (500, 500) == (response.status_code, response.json()["status"])


async def test_an_http_exception_keeps_status_headers_and_detail(tmp_path: Path) -> None:
    async with running(everything(), tmp_path) as client:
        response = await client.get("/raises")

    assert (429, "7", "Slow down.") == (
        response.status_code, response.headers["retry-after"], response.json()["detail"]
    )  # fmt: skip


@pytest.mark.parametrize("app_env", ["staging", "production"])
@pytest.mark.parametrize(
    ("path", "app"),
    [
        ("/m", Starlette(debug=True)),
        ("/m", FastAPI(debug=True)),
        ("/m/inner", Starlette(routes=[Mount("/inner", Starlette(debug=True))])),
        ("/m/a/b", Starlette(routes=[Mount("/a", routes=[Mount("/b", FastAPI(debug=True))])])),
    ],
)
async def test_debug_is_refused_in_staging_and_production(tmp_path: Path, app_env: str, path: str, app: Any) -> None:
    mounted = service(mount("/m", app, policy=PUBLIC, name="m"))
    with pytest.raises(ConfigurationError, match=f"mounted at {path} has debug on.*write debug=False"):
        async with running(mounted, tmp_path, APP_ENV=app_env, ALLOWED_HOSTS="localhost"):
            pass


async def test_debug_is_allowed_elsewhere(tmp_path: Path) -> None:
    async with running(service(mount("/m", Starlette(debug=True), policy=PUBLIC, name="m")), tmp_path) as client:
        assert 404 == (await client.get("/m/x")).status_code
