"""A route says who may call it, and a authorizer holds it to that; without a authorizer everything is public."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx2
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route, Router

from {{ cookiecutter.package_name }}.chassis.access import ADMINS, ANONYMOUS, AUTHENTICATED, PUBLIC, Caller, Policy, caller, owner_or_admins
from {{ cookiecutter.package_name }}.chassis.errors import Forbidden
from {{ cookiecutter.package_name }}.chassis.http.routing import ApiRoute, MissingPolicy, allow, declared

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def answer(request: Request) -> Response:
    return PlainTextResponse(request.method)


class Closed:
    """Turns everybody away, and remembers from what."""

    scheme: Mapping[str, Any] = {}

    def __init__(self) -> None:
        self.asked: list[Policy] = []

    async def authorize(self, policy: Policy, _request: Request) -> Caller:
        self.asked.append(policy)
        raise Forbidden("no")


def guarded_route(authorizer: Closed | None) -> ApiRoute:
    route = ApiRoute("/", {"GET": allow(PUBLIC, answer), "POST": allow(ADMINS, answer)}, name="any")
    if authorizer:
        route.guard(authorizer)
    return route


async def ask(route: ApiRoute, method: str) -> int:
    transport = httpx2.ASGITransport(app=Router([route]))
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
        return (await client.request(method, "/")).status_code


async def test_without_a_gate_everything_is_public() -> None:
    route = guarded_route(None)

    assert [200, 200, 200] == [await ask(route, method) for method in ("GET", "HEAD", "POST")]


async def test_a_gate_is_asked_for_everything_but_the_public() -> None:
    authorizer = Closed()
    route = guarded_route(authorizer)

    assert [200, 200] == [await ask(route, "GET"), await ask(route, "HEAD")]
    with pytest.raises(Forbidden):
        await ask(route, "POST")
    assert [ADMINS] == authorizer.asked


class Open(Closed):
    async def authorize(self, _policy: Policy, _request: Request) -> Caller:
        return Caller("ada", "user")


async def test_who_asks_is_known_until_the_answer_is_sent_and_not_after() -> None:
    async def whose(_request: Request) -> Response:
        async def told() -> AsyncIterator[str]:
            yield caller.get().user_id

        return StreamingResponse(told())

    route = ApiRoute("/", {"GET": allow(AUTHENTICATED, whose), "PUT": allow(PUBLIC, whose)}, name="any")
    route.guard(Open())
    transport = httpx2.ASGITransport(app=Router([route]))
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
        answers = [(await client.request(method, "/")).text for method in ("GET", "PUT")]

    assert ["ada", ""] == answers
    assert ANONYMOUS == caller.get()


async def test_the_head_of_what_is_guarded_is_guarded() -> None:
    route = ApiRoute("/", {"GET": allow(AUTHENTICATED, answer)}, name="any")
    route.guard(Closed())

    with pytest.raises(Forbidden):
        await ask(route, "HEAD")


def test_a_route_without_a_policy_is_rejected() -> None:
    undeclared: Any = {"GET": answer}

    with pytest.raises(MissingPolicy, match="GET /x does not say who may call it"):
        ApiRoute("/x", undeclared, name="x")


def test_a_route_that_cannot_have_a_policy_is_rejected() -> None:
    with pytest.raises(MissingPolicy, match="make it an ApiRoute"):
        list(declared([Route("/x", answer)]))


@pytest.mark.parametrize(
    ("policy", "text"),
    [
        (PUBLIC, "public"),
        (AUTHENTICATED, "authenticated"),
        (ADMINS, "admin, superadmin"),
        (owner_or_admins("user_id"), "owner, admin, superadmin"),
    ],
)
def test_a_policy_reads_as_whom_it_admits(policy: Policy, text: str) -> None:
    assert text == str(policy)
