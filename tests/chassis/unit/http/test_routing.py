"""A route declares who may call it, and an authorizer holds it to that; without one only the public is served."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx2
import pytest
from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route, Router, WebSocketRoute

from acme_service.chassis.access import (
    ANONYMOUS,
    AUTHENTICATED,
    PUBLIC,
    Caller,
    Policy,
    current_caller,
    owner_or,
    roles,
)
from acme_service.chassis.errors import ConfigurationError, Forbidden
from acme_service.chassis.http import ApiRoute, allow, describe
from acme_service.chassis.http.policies import protect
from acme_service.chassis.settings import ServerSettings

pytestmark = pytest.mark.anyio

KEEPERS = roles("keeper", "owner of the keys")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@describe(summary="Answer", description="Answers.", responses={200: str}, tags=["test"])
async def answer(request: Request) -> Response:
    return PlainTextResponse(request.method)


class Closed:
    """Rejects every caller, and keeps the policies that it was asked for."""

    scheme: Mapping[str, Any] = {}

    def __init__(self) -> None:
        self.asked: list[Policy] = []

    async def authorize(self, policy: Policy, connection: HTTPConnection) -> Caller:  # noqa: ARG002 - its signature
        self.asked.append(policy)
        raise Forbidden("no")


def protected_route(authorizer: Closed | None) -> ApiRoute:
    route = ApiRoute("/", {"GET": allow(PUBLIC, answer), "POST": allow(KEEPERS, answer)}, name="any")
    if authorizer:
        route.protect(authorizer)
    return route


async def ask(route: ApiRoute, method: str) -> int:
    transport = httpx2.ASGITransport(app=Router([route]))
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
        return (await client.request(method, "/")).status_code


async def test_without_an_authorizer_what_is_not_public_is_never_served() -> None:
    route = protected_route(None)

    assert [200, 200] == [await ask(route, method) for method in ("GET", "HEAD")]
    with pytest.raises(Forbidden):
        await ask(route, "POST")


@pytest.mark.parametrize("policy", [AUTHENTICATED, KEEPERS, owner_or("item_id")], ids=str)
async def test_without_an_authorizer_a_route_that_is_not_public_stops_the_start(policy: Policy) -> None:
    route = ApiRoute("/items/{item_id}", {"GET": allow(policy, answer)}, name="item")

    with pytest.raises(ConfigurationError, match=r"GET /items/\{item_id\} is for .* no feature brings an authorizer"):
        protect([route], None, ServerSettings())


async def test_an_authorizer_is_asked_for_everything_but_the_public() -> None:
    authorizer = Closed()
    route = protected_route(authorizer)

    assert [200, 200] == [await ask(route, "GET"), await ask(route, "HEAD")]
    with pytest.raises(Forbidden):
        await ask(route, "POST")
    assert [KEEPERS] == authorizer.asked


class Open(Closed):
    async def authorize(self, policy: Policy, connection: HTTPConnection) -> Caller:  # noqa: ARG002 - its signature
        return Caller("ada", "user")


async def test_the_caller_is_known_until_the_response_is_sent_and_not_after() -> None:
    async def whose(_request: Request) -> Response:
        async def name() -> AsyncIterator[str]:
            yield current_caller.get().user_id

        return StreamingResponse(name())

    route = ApiRoute("/", {"GET": allow(AUTHENTICATED, whose), "PUT": allow(PUBLIC, whose)}, name="any")
    route.protect(Open())
    transport = httpx2.ASGITransport(app=Router([route]))
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
        answers = [(await client.request(method, "/")).text for method in ("GET", "PUT")]

    assert ["ada", ""] == answers
    assert ANONYMOUS == current_caller.get()


async def test_the_head_of_what_is_protected_is_protected() -> None:
    route = ApiRoute("/", {"GET": allow(AUTHENTICATED, answer)}, name="any")
    route.protect(Closed())

    with pytest.raises(Forbidden):
        await ask(route, "HEAD")


def test_a_route_without_a_policy_is_rejected() -> None:
    undeclared: Any = {"GET": answer}

    with pytest.raises(ConfigurationError, match=r"GET /x has no access policy: write allow\(POLICY, handler\)"):
        ApiRoute("/x", undeclared, name="x")


@pytest.mark.parametrize(
    ("route", "written"),
    [
        (Route("/x", answer), "ApiRoute('/x', {\"GET\": allow(POLICY, handler)}, name=...)"),
        (Mount("/x", Router()), "mount('/x', app, policy=POLICY, name=...)"),
        (WebSocketRoute("/x", answer), "websocket('/x', endpoint, policy=POLICY, name=...)"),
    ],
    ids=["Route", "Mount", "WebSocketRoute"],
)
def test_a_route_that_has_no_policy_stops_the_start_and_the_message_says_what_to_write(
    route: object, written: str
) -> None:
    with pytest.raises(ConfigurationError) as raised:
        protect([route], Closed(), ServerSettings())

    assert f"{type(route).__name__} '/x' has no access policy" in str(raised.value)
    assert written in str(raised.value)


def test_an_owner_that_the_path_does_not_name_is_rejected() -> None:
    with pytest.raises(ConfigurationError, match=r"its path has no \{user_id\}"):
        ApiRoute("/items/{item_id}", {"GET": allow(owner_or("user_id"), answer)}, name="item")


@pytest.mark.parametrize(
    ("policy", "text"),
    [
        (PUBLIC, "public"),
        (AUTHENTICATED, "authenticated"),
        (roles("keeper", "guest"), "keeper, guest"),
        (owner_or("user_id", "keeper"), "owner, keeper"),
    ],
)
def test_a_policy_reads_as_the_callers_that_it_admits(policy: Policy, text: str) -> None:
    assert text == str(policy)


def test_a_policy_of_no_role_is_a_mistake() -> None:
    with pytest.raises(TypeError, match="at least one role"):
        roles()


async def test_a_client_that_leaves_a_stream_is_not_authorized_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its token may have expired meanwhile, which is no reason for an error."""
    monkeypatch.setattr("acme_service.chassis.http.routing.REAUTHORIZE_SECONDS", -1.0)
    asked = []

    class Once:
        scheme: Mapping[str, Any] = {}

        async def authorize(self, policy: Policy, connection: HTTPConnection) -> Caller:  # noqa: ARG002 - its signature
            asked.append(policy)
            return Caller("ann")

    @describe(summary="Wait", description="For the end.", responses={200: str})
    async def wait(request: Request) -> Response:
        assert "http.disconnect" == (await request.receive())["type"]
        return Response()

    route = ApiRoute("/", {"GET": allow(AUTHENTICATED, wait)}, name="any")
    route.protect(Once())

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(_message: Any) -> None:
        return

    scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "path_params": {}}
    await route.handle(scope, receive, send)

    assert [AUTHENTICATED] == asked
