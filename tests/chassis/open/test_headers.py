"""Security headers fit what is sent, and a route or a mount may declare others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from acme_service.chassis.access import PUBLIC
from acme_service.chassis.errors import ConfigurationError, NotFound
from acme_service.chassis.http import mount, static_files

from .harness import route, running, service

pytestmark = pytest.mark.anyio

PAGE = "default-src 'self'; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
DATA = "default-src 'none'; frame-ancestors 'none'"


async def json(_request: Request) -> Response:
    return JSONResponse({})


async def tagged(_request: Request) -> Response:
    return JSONResponse({}, headers={"ETag": '"1"'})


async def page(_request: Request) -> Response:
    return HTMLResponse("<p>")


async def missing(_request: Request) -> Response:
    raise NotFound("There is none.")


def files(folder: Path) -> Path:
    (folder / "files").mkdir()
    for name in ("index.html", "style.css", "image.svg", "data.json"):
        (folder / "files" / name).write_text("content")
    return folder / "files"


def told(response: Any) -> tuple[str | None, ...]:
    names = ("content-security-policy", "cache-control", "referrer-policy", "x-content-type-options")
    return tuple(response.headers.get(name) for name in names)


async def test_headers_fit_the_content(tmp_path: Path) -> None:
    routes = [route("/json", json), route("/tagged", tagged), route("/page", page), route("/missing", missing)]
    mounted = static_files("/files", files(tmp_path), policy=PUBLIC, name="files", html=True)
    async with running(service(*routes, mounted), tmp_path) as client:
        found = {
            path: told(await client.get(path))
            for path in ("/json", "/missing", "/tagged", "/page", "/docs", "/files/nothing")
        } | {
            path: told(await client.get(path))
            for path in ("/files/", "/files/style.css", "/files/image.svg", "/files/data.json")
        }

    assert {
        "/json": (DATA, "no-store", "no-referrer", "nosniff"),
        "/missing": (DATA, "no-store", "no-referrer", "nosniff"),
        "/tagged": (DATA, "no-cache", "no-referrer", "nosniff"),
        "/page": (PAGE, "no-store", "same-origin", "nosniff"),
        "/files/nothing": (DATA, "no-store", "no-referrer", "nosniff"),
        "/files/": (PAGE, None, "same-origin", "nosniff"),
        "/files/style.css": ("frame-ancestors 'none'", None, "no-referrer", "nosniff"),
        "/files/image.svg": (PAGE, None, "same-origin", "nosniff"),
        "/files/data.json": (DATA, "no-cache", "no-referrer", "nosniff"),
    } == {path: headers for path, headers in found.items() if path != "/docs"}
    assert str(found["/docs"][0]).startswith("default-src 'none'; script-src 'self'")


async def test_a_304_says_nothing_that_would_replace_what_is_stored(tmp_path: Path) -> None:
    mounted = static_files("/files", files(tmp_path), policy=PUBLIC, name="files", html=True)
    async with running(service(mounted), tmp_path) as client:
        etag = (await client.get("/files/")).headers["etag"]
        response = await client.get("/files/", headers={"If-None-Match": etag})

    assert 304 == response.status_code
    assert (None, None, None, "nosniff") == told(response)
    assert response.headers["x-request-id"]


async def test_a_route_and_a_mount_may_declare_others(tmp_path: Path) -> None:
    for_ever = "public, max-age=31536000, immutable"
    routes = [
        route("/json", json, headers={"Cache-Control": "public, max-age=60", "Referrer-Policy": None}),
        route("/missing", missing, headers={"Cache-Control": "public, max-age=60"}),
        mount("/page", page_app, policy=PUBLIC, name="page", headers={"Content-Security-Policy": "default-src *"}),
        static_files("/files", files(tmp_path), policy=PUBLIC, name="f", headers={"cache-control": for_ever}),
    ]
    async with running(service(*routes), tmp_path) as client:
        found = {
            path: told(await client.get(path))
            for path in ("/json", "/missing", "/page/", "/page/wrong", "/files/style.css", "/files/nothing")
        }

    assert {
        "/json": (DATA, "public, max-age=60", None, "nosniff"),
        "/missing": (DATA, "no-store", "no-referrer", "nosniff"),
        "/page/": ("default-src *", "no-store", "same-origin", "nosniff"),
        "/page/wrong": ("default-src *", "no-store", "same-origin", "nosniff"),
        "/files/style.css": ("frame-ancestors 'none'", for_ever, "no-referrer", "nosniff"),
        "/files/nothing": (DATA, "no-store", "no-referrer", "nosniff"),
    } == found


async def page_app(scope: Any, receive: Any, send: Any) -> None:
    """Sets a policy of its own, which the mount replaces, and its own request id, which the service replaces."""
    headers = {"Content-Security-Policy": "default-src 'none'", "X-Request-ID": "another"}
    await HTMLResponse("", 422 if scope["path"].endswith("wrong") else 200, headers)(scope, receive, send)


async def test_an_error_is_not_cached_as_its_page_is(tmp_path: Path) -> None:
    cached = mount("/page", page_app, policy=PUBLIC, name="page", headers={"Cache-Control": "public"})
    async with running(service(cached), tmp_path) as client:
        found = [(await client.get(path)).headers["cache-control"] for path in ("/page/", "/page/wrong")]

    assert ["public", "no-store"] == found


async def test_a_mounted_application_has_the_request_id_once(tmp_path: Path) -> None:
    async with running(service(mount("/page", page_app, policy=PUBLIC, name="page")), tmp_path) as client:
        response = await client.get("/page/", headers={"X-Request-ID": "mine"})

    assert ["mine"] == response.headers.get_list("x-request-id")


async def test_an_inner_declaration_goes_before_an_outer_one(tmp_path: Path) -> None:
    inner = mount("/inner", page_app, policy=PUBLIC, name="i", headers={"Referrer-Policy": "origin"})
    outer = mount(
        "/outer",
        Starlette(routes=[inner]),
        policy=PUBLIC,
        name="o",
        headers={"Referrer-Policy": "unsafe-url", "Content-Security-Policy": None},
    )
    async with running(service(outer), tmp_path) as client:
        assert (None, "no-store", "origin", "nosniff") == told(await client.get("/outer/inner/"))


@pytest.mark.parametrize(
    "headers", [{"a b": "c"}, {"A": "b\r\nc: d"}, {"A": "€"}, {"Content-Length": "1"}, {"x-request-id": None}]
)
def test_what_is_no_header_of_all_responses_is_refused(headers: dict[str, str | None]) -> None:
    with pytest.raises(ConfigurationError, match="the mount /m: "):
        mount("/m", page_app, policy=PUBLIC, name="m", headers=headers)
    with pytest.raises(ConfigurationError, match="the route /m: "):
        route("/m", page, headers=headers)
