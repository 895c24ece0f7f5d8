"""Mounts: policies, redirects, labels; and the routes that stop the start."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route, Router, WebSocketRoute

from acme_service.chassis import Parts
from acme_service.chassis.access import AUTHENTICATED, PUBLIC, current_caller, owner_or
from acme_service.chassis.errors import ConfigurationError
from acme_service.chassis.http import ApiRoute, allow, mount

from .harness import Keys, route, running, service, text

pytestmark = pytest.mark.anyio


async def show(request: Request) -> Response:
    return PlainTextResponse(f"{current_caller.get().user_id} {request.url.path}")


def nothing(_request: Request) -> Response:
    return Response()


class Seen:
    """A mounted application that notes what reaches it."""

    def __init__(self) -> None:
        self.paths: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.paths.append(f"{scope['type']} {scope.get('method')} {scope['path']}")
        await PlainTextResponse(current_caller.get().user_id)(scope, receive, send)


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "OPTIONS", "PURGE"])
@pytest.mark.parametrize("path", ["/admin/", "/admin/x/y%2Fz", "/admin//x"])
async def test_a_policy_covers_every_path_and_method_below(tmp_path: Path, method: str, path: str) -> None:
    seen = Seen()
    guarded = mount("/admin", seen, policy=AUTHENTICATED, name="admin")
    async with running(service(build=lambda _core: Parts(routes=[guarded], authorizer=Keys())), tmp_path) as client:
        rejected = await client.request(method, path)
        before = list(seen.paths)
        allowed = await client.request(method, path, headers={"Authorization": "ann"})

    assert (401, []) == (rejected.status_code, before)
    assert (200, "ann") == (allowed.status_code, allowed.text)
    assert "Bearer" == rejected.headers["www-authenticate"]
    assert [401, 200] == [line["status"] for line in client.lines]


def test_an_owner_needs_the_parameter_in_the_path() -> None:
    mount("/users/{user_id}", text, policy=owner_or("user_id"), name="m")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match=r"the mount /users/\{id\} is for the owner 'user_id'.*no \{user_id\}"):
        mount("/users/{id}", text, policy=owner_or("user_id"), name="m")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match=r"GET /users is for the owner 'user_id'"):
        route("/users", show, policy=owner_or("user_id"))


@pytest.mark.parametrize(
    ("sent", "location"),
    [
        ("/admin", "/admin/"),
        ("/admin?a=b%20c&d", "/admin/?a=b%20c&d"),
        ("/adm%69n", "/adm%69n/"),
        ("/shops/caf%C3%A9", "/shops/caf%C3%A9/"),
        ("/shops/a%2Fb", None),
        ("/shops/%5Cevil.test", "/shops/%5Cevil.test/"),
    ],
)
@pytest.mark.parametrize("host", ["localhost", "evil.test/x?"])
async def test_the_path_of_a_mount_without_its_slash_is_redirected(
    tmp_path: Path, sent: str, location: str | None, host: str
) -> None:
    mounts = [
        mount("/admin", Seen(), policy=PUBLIC, name="admin"),
        mount("/shops/{shop}", Seen(), policy=PUBLIC, name="shops"),
    ]
    async with running(service(*mounts), tmp_path) as client:
        response = await client.post(sent, headers={"Host": host})

    if location is None:
        assert 307 != response.status_code
        return
    assert (307, location) == (response.status_code, response.headers["location"])


async def test_a_redirect_keeps_the_root_path(tmp_path: Path) -> None:
    admin = mount("/admin", Seen(), policy=PUBLIC, name="admin")
    async with running(service(admin), tmp_path) as client:
        found = []
        for path, root in (("/v1/admin", "/v1"), ("/admin", "/v1")):
            messages: list[Any] = []
            await client.app(
                {
                    "type": "http", "method": "GET", "path": path, "root_path": root, "query_string": b"",
                    "headers": [(b"host", b"localhost")], "scheme": "http", "client": None, "server": None,
                },
                None,
                lambda message, messages=messages: collect(message, messages),
            )  # fmt: skip
            found.append(dict(messages[0]["headers"])[b"location"])

    assert [b"/v1/admin/", b"/v1/admin/"] == found


async def collect(message: Any, messages: list[Any]) -> None:
    messages.append(message)


async def test_a_route_of_that_very_path_goes_first(tmp_path: Path) -> None:
    routes = [mount("/admin", Seen(), policy=PUBLIC, name="admin"), route("/admin", show)]
    async with running(service(*routes), tmp_path) as client:
        assert 200 == (await client.get("/admin")).status_code


def fastapi() -> FastAPI:
    api, router, inner = FastAPI(), APIRouter(prefix="/v1"), FastAPI()

    @router.get("/items/{item_id}")
    async def item(item_id: str) -> str:
        return item_id

    @inner.get("/deep/{name}")
    async def deep(name: str) -> str:
        if name == "bad":
            raise ZeroDivisionError
        return name

    api.include_router(router)
    api.mount("/inner", inner)
    api.mount("/tenants/{tenant}", inner)
    return api


class Rewrites:
    """Does to the scope what it should not."""

    def __init__(self, route: object, **more: object) -> None:
        self.changes = {"route": route, **more}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        scope.update(self.changes)
        await Response()(scope, receive, send)


@pytest.mark.parametrize(
    ("path", "label"),
    [
        ("/api/v1/items/7", "/api/v1/items/{item_id}"),
        ("/api/inner/deep/x", "/api/inner/deep/{name}"),
        ("/api/tenants/t1/deep/x", "/api/{path}"),
        ("/api/unknown/9", "/api/{path}"),
        ("/api", "/api/{path}"),
        ("/star/page/3", "/star/page/{number}"),
        ("/star/sub/page/3", "/star/sub/page/{number}"),
        ("/star/again/x/y", "/star/again/{path}"),
        ("/orgs/o1/page/3", "/orgs/{org}/page/{number}"),
        ("/text/x", "/text/{path}"),
        ("/none/x", "/none/{path}"),
        ("/list/x", "/list/{path}"),
        ("/root/x", "/root/{path}"),
    ],
)
async def test_the_label_of_a_mount_keeps_its_prefix(tmp_path: Path, path: str, label: str) -> None:
    page = Route("/page/{number}", show)
    star = Starlette(routes=[page, Mount("/sub", Router([page])), mount("/again", Seen(), policy=PUBLIC, name="a")])
    mounts = [
        mount("/api", fastapi(), policy=PUBLIC, name="api"),
        mount("/star", star, policy=PUBLIC, name="star"),
        mount("/orgs/{org}", star, policy=PUBLIC, name="orgs"),
        mount("/text", Rewrites("/made/up/1234"), policy=PUBLIC, name="text"),
        mount("/none", Rewrites(None), policy=PUBLIC, name="none"),
        mount("/list", Rewrites([{}], path_params=None), policy=PUBLIC, name="list"),
        mount("/root", Rewrites(page, root_path="/elsewhere"), policy=PUBLIC, name="root"),
    ]
    async with running(service(*mounts), tmp_path) as client:
        await client.get(path)
        metrics = (await client.get("/metrics")).text

    assert label == client.lines[0]["route"]
    assert f'http_requests_total{{method="GET",route="{label}",' in metrics


async def test_a_thousand_paths_below_mounts_make_few_labels(tmp_path: Path) -> None:
    async with running(service(mount("/api", fastapi(), policy=PUBLIC, name="api")), tmp_path) as client:
        for number in range(100):
            for path in ("v1/items", "inner/deep", f"tenants/{number}/deep", "unknown"):
                await client.get(f"/api/{path}/{number}")

    assert 3 == len({line["route"] for line in client.lines})


async def test_an_exception_below_a_mount_has_its_label_once(tmp_path: Path) -> None:
    async with running(service(mount("/api", fastapi(), policy=PUBLIC, name="api")), tmp_path) as client:
        response = await client.get("/api/inner/deep/bad")
        metrics = (await client.get("/metrics")).text

    assert (500, "application/problem+json") == (response.status_code, response.headers["content-type"])
    assert 'http_exceptions_total{route="/api/inner/deep/{name}",type="ZeroDivisionError"} 1.0' in metrics


ADVICE = {
    "mount": (
        lambda app: app.mount("/late", Seen()),
        r"Mount '/late' has no access policy.*mount\('/late', app, policy=",
    ),
    "add_route": (
        lambda app: app.add_route("/late", nothing),
        r"""Route '/late' has no access policy.*ApiRoute\('/late', {"GET": allow\(POLICY, handler\)}, name=""",
    ),
    "add_websocket_route": (
        lambda app: app.router.add_websocket_route("/late", nothing),
        r"WebSocketRoute '/late' has no access policy.*websocket\('/late', endpoint, policy=POLICY",
    ),
    "host": (lambda app: app.host("x.test", Seen()), "Host .*has no access policy"),
    "append": (lambda app: app.router.routes.append(Route("/late", nothing)), "Route '/late' has no access policy"),
}


@pytest.mark.parametrize("how", ADVICE)
async def test_a_route_that_is_added_behind_the_list_stops_the_start(tmp_path: Path, how: str) -> None:
    add, message = ADVICE[how]
    with pytest.raises(ConfigurationError, match=message):
        async with running(service(), tmp_path, prepare=add):
            pass


@pytest.mark.parametrize(
    ("listed", "message"),
    [
        (
            Mount("/m", Seen()),
            r"Mount '/m' has no access policy.*chassis\.http\.mount\('/m', app, policy=POLICY, name=",
        ),
        (Route("/r", nothing), r"Route '/r' has no access policy.*chassis\.http\.ApiRoute\('/r', {\"GET\": allow"),
        (
            WebSocketRoute("/w", nothing),
            r"WebSocketRoute '/w' has no.*chassis\.http\.websocket\('/w', endpoint, policy=",
        ),
        (ApiRoute("/d", {"GET": allow(PUBLIC, nothing)}, name="d"), "GET /d has no description: put @describe"),
        (mount("/m", Seen(), policy=AUTHENTICATED, name="m"), "MOUNT /m is for authenticated, but no feature brings"),
    ],
)
async def test_a_listed_route_without_policy_or_description_stops_the_start(
    tmp_path: Path, listed: Any, message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        async with running(service(listed), tmp_path):
            pass


def test_an_endpoint_without_a_policy_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"GET /r has no access policy: write allow\(POLICY, handler\)"):
        ApiRoute("/r", {"GET": nothing}, name="r")  # type: ignore[dict-item]


async def test_an_exception_handler_fails_aloud(tmp_path: Path) -> None:
    for add in (
        lambda app: app.add_exception_handler(ValueError, nothing),
        lambda app: app.exception_handler(404)(nothing),
    ):
        with pytest.raises(ConfigurationError, match="has no effect here: give the exception a problem type"):
            async with running(service(), tmp_path, prepare=add):
                pass


async def test_a_plain_function_runs_in_the_thread_pool(tmp_path: Path) -> None:
    threads = []

    def blocking(_request: Request) -> Response:
        threads.append(threading.current_thread())
        return Response(current_caller.get().user_id)

    guarded = route("/blocking", blocking, policy=AUTHENTICATED)
    async with running(service(build=lambda _core: Parts(routes=[guarded], authorizer=Keys())), tmp_path) as client:
        response = await client.get("/blocking", headers={"Authorization": "ann"})

    assert (200, "ann") == (response.status_code, response.text)
    assert [threading.main_thread()] != threads
