"""What libraries and handlers do that is unusual and right, and what must not slip through because of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route

from acme_service.chassis import Parts
from acme_service.chassis.access import AUTHENTICATED, PUBLIC, Caller, owner_or
from acme_service.chassis.auth.authorizer import _admits
from acme_service.chassis.context import Exchange
from acme_service.chassis.errors import ConfigurationError, NotFound
from acme_service.chassis.http import ApiRoute, BodyLimits, allow, describe, mount
from acme_service.chassis.middleware.limits import BodySizeLimitMiddleware

from .harness import Keys, route, running, service, text

pytestmark = pytest.mark.anyio


def raising(error: Exception) -> Any:
    async def handler(_request: Request) -> Response:
        raise error

    return handler


@pytest.mark.parametrize(
    ("error", "detail"),
    [
        (HTTPException(400, detail={"field": "name"}), "{'field': 'name'}"),  # type: ignore[arg-type]
        (HTTPException(400, headers={"Retry-After": 5}), "Malformed request"),  # type: ignore[dict-item]
        (HTTPException(400, headers={"Content-Length": "1", "Content-Type": "x/y"}), "Malformed request"),
    ],
    ids=["detail", "header", "framing"],
)
async def test_what_handlers_of_other_frameworks_raise_is_problem_details(
    tmp_path: Path, error: HTTPException, detail: str
) -> None:
    async with running(service(route("/x", raising(error))), tmp_path) as client:
        response = await client.get("/x")

    assert (400, "application/problem+json") == (response.status_code, response.headers["content-type"])
    assert detail == response.json()["detail"]
    assert 1 == len(response.headers.get_list("content-length"))


@pytest.mark.parametrize("status", [204, 304])
async def test_a_status_without_a_body_has_none(tmp_path: Path, status: int) -> None:
    async with running(
        service(route("/x", raising(HTTPException(status, headers={"ETag": '"1"'})))), tmp_path
    ) as client:
        response = await client.get("/x")

    assert (status, b"", '"1"') == (response.status_code, response.content, response.headers["etag"])
    assert {"content-length", "content-type"}.isdisjoint(response.headers)


async def test_an_error_of_the_service_inside_a_mounted_application_keeps_its_status(tmp_path: Path) -> None:
    inner = Starlette(
        routes=[Route("/gone", raising(NotFound("Order 1 not found."))), Route("/bug", raising(KeyError()))]
    )
    async with running(service(mount("/in", inner, policy=PUBLIC, name="in")), tmp_path) as client:
        gone, bug = await client.get("/in/gone"), await client.get("/in/bug")

    assert (404, "Order 1 not found.") == (gone.status_code, gone.json()["detail"])
    assert (500, "application/problem+json") == (bug.status_code, bug.headers["content-type"])
    assert [404, 500] == [line["status"] for line in client.lines]


async def test_a_500_that_no_exception_follows_is_sent(tmp_path: Path) -> None:
    async def failing(_request: Request) -> Response:
        return PlainTextResponse("Internal Server Error", 500)

    async with running(service(route("/x", failing)), tmp_path) as client:
        response = await client.get("/x")

    assert (500, "Internal Server Error") == (response.status_code, response.json()["title"])
    assert [500] == [line["status"] for line in client.lines]


async def test_head_has_a_policy_of_its_own_where_one_is_declared(tmp_path: Path) -> None:
    described = describe(summary="Get", description="It.", responses={200: str})(text)
    own = ApiRoute("/x", {"GET": allow(PUBLIC, described), "HEAD": allow(AUTHENTICATED, described)}, name="x")
    async with running(service(build=lambda _core: Parts(routes=[own], authorizer=Keys())), tmp_path) as client:
        assert [200, 401] == [(await client.request(method, "/x")).status_code for method in ("GET", "HEAD")]


def test_a_method_in_lower_case_stops_the_start() -> None:
    with pytest.raises(ConfigurationError, match="'get' of /x is no method: write 'GET'"):
        ApiRoute("/x", {"get": allow(PUBLIC, text)}, name="x")


async def test_no_client_can_make_up_labels_by_the_parameters_of_mounts(tmp_path: Path) -> None:
    inner = Starlette(
        routes=[
            Mount("/things/{id}", app=Starlette(routes=[Route("/y/{id}", text)])),
            Mount("/plain", app=Starlette(routes=[Route("/z/{id}", text)])),
        ]
    )
    async with running(service(mount("/in", inner, policy=PUBLIC, name="in")), tmp_path) as client:
        for path in ("/in/things/made/y/up", "/in/plain/z/up"):
            assert 200 == (await client.get(path)).status_code

    assert ["/in/{path}", "/in/plain/z/{id}"] == [line["route"] for line in client.lines]


async def test_a_file_is_sent_through_the_service_whatever_the_server_offers(tmp_path: Path) -> None:
    """A server with the extension would send it itself, and the access line would take its client for gone."""
    file = tmp_path / "file.txt"
    file.write_text("content")

    async def download(_request: Request) -> Response:
        return FileResponse(file)

    def offering(app: Any) -> Any:
        async def call(scope: Any, receive: Any, send: Any) -> None:
            await app({**scope, "extensions": {"http.response.pathsend": {}}}, receive, send)

        return call

    async with running(service(route("/file", download)), tmp_path) as client:
        transport = httpx2.ASGITransport(app=offering(client.app))
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as other:
            assert b"content" == (await other.get("/file")).content

    assert [200] == [line["status"] for line in client.lines]


async def test_a_header_of_transport_security_can_be_removed(tmp_path: Path) -> None:
    described = describe(summary="Get", description="It.", responses={200: str})(text)
    plain = ApiRoute("/x", {"GET": allow(PUBLIC, described)}, name="x", headers={"Strict-Transport-Security": None})
    async with running(service(plain), tmp_path) as client:
        response = await client.get("https://localhost/x")

    assert "strict-transport-security" not in response.headers


async def test_the_body_of_http_2_is_counted_without_a_length() -> None:
    """There no field says that a body follows."""
    pieces = [{"type": "http.request", "body": b"a" * 600, "more_body": True} for _ in range(3)]

    async def receive() -> Any:
        return pieces.pop()

    async def read(_scope: Any, receive: Any, _send: Any) -> None:
        while (await receive())["more_body"]:
            pass

    limited = BodySizeLimitMiddleware(read, limits=BodyLimits(max_bytes=1000))
    scope = {"type": "http", "path": "/x", "http_version": "2", "headers": [], "exchange": Exchange("r-1", 0.0)}
    with pytest.raises(Exception, match="larger than the 1000 bytes"):
        await limited(scope, receive, receive)


def test_the_owner_is_known_by_a_converted_parameter() -> None:
    connection = HTTPConnection({"type": "http", "path_params": {"uid": 42}})

    assert _admits(owner_or("uid"), Caller("42"), connection)
    assert not _admits(owner_or("uid"), Caller("43"), connection)
