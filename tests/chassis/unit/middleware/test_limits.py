"""Hosts, body size and time: what is rejected, and what is not."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from time import perf_counter

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.types import Message

from acme_service.chassis.context import Exchange
from acme_service.chassis.middleware.cross_origin import CORSMiddleware

from .conftest import Stack

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("host", ["good.test", "GOOD.test:8080", "a.below.test", "a.b.below.test", "[::1]:80"])
async def test_a_listed_host_is_served(stack: Stack, host: str) -> None:
    assert (await stack.request("GET", "/echo/x", headers={"Host": host})).status_code == 200


@pytest.mark.parametrize("host", ["evil.test", "good.test.evil.test", "below.test", "[::2]:80", ""])
async def test_any_other_host_is_rejected(stack: Stack, host: str) -> None:
    response = await stack.request("GET", "/echo/x", headers={"Host": host})

    assert response.status_code == 400
    assert response.json()["type"].endswith(":host-not-allowed")


async def test_two_hosts_are_rejected(stack: Stack) -> None:
    response = await stack.request("GET", "/echo/x", headers=[("Host", "good.test"), ("Host", "good.test")])

    assert response.status_code == 400


async def test_no_host_is_rejected(stack: Stack) -> None:
    await stack.call({})

    assert [400] == [line["status"] for line in stack.lines.written]


async def test_a_star_serves_every_host() -> None:
    assert (await Stack(hosts=("*",)).request("GET", "/echo/x")).status_code == 200


async def test_names_without_a_star_leave_no_other_host_open() -> None:
    assert (await Stack(hosts=("other.test",)).request("GET", "/echo/x")).status_code == 400


async def test_a_websocket_needs_a_listed_host_too(stack: Stack) -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    extensions: dict[str, object] = {"websocket.http.response": {}}
    await stack.call({"type": "websocket", "headers": [(b"host", b"evil.test")], "extensions": extensions}, send=send)

    assert ("websocket.http.response.start", 400) == (sent[0]["type"], sent[0]["status"])


@pytest.mark.parametrize("hosts", [(), ("good.test",)])
async def test_a_preflight_is_answered_where_no_host_is_listed_and_where_it_is(hosts: tuple[str, ...]) -> None:
    app = CORSMiddleware(Starlette(), hosts=hosts, allow_origins=["https://page.test"])
    headers = {"Origin": "https://page.test", "Access-Control-Request-Method": "GET"}
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://good.test") as client:
        assert 200 == (await client.options("/", headers=headers)).status_code


async def test_a_preflight_names_the_methods_of_the_path() -> None:
    inner = Starlette(
        routes=[
            Route("/things", nothing_here, methods=["PUT"]),
            Route("/things", nothing_here, methods=["GET"]),
            Mount("/mounted", Starlette()),
        ],
        middleware=[Middleware(CORSMiddleware, hosts=(), allow_origins=["https://page.test"])],
    )
    headers = {"Origin": "https://page.test", "Access-Control-Request-Method": "PUT"}
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=inner), base_url="http://good.test") as client:
        named = {
            path: (await client.options(path, headers=headers)).headers["access-control-allow-methods"]
            for path in ("/things", "/mounted/x")
        }

    everything = "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"
    assert {"/things": "GET, HEAD, PUT", "/mounted/x": everything} == named


async def nothing_here(_request: Request) -> Response:
    return Response()


async def test_probes_may_name_any_host(stack: Stack) -> None:
    assert (await stack.request("GET", "/metrics", headers={"Host": "10.0.0.7"})).status_code == 200


@pytest.mark.parametrize(("size", "status"), [(100, 200), (101, 413)])
async def test_a_body_is_rejected_by_its_declared_size(stack: Stack, size: int, status: int) -> None:
    assert status == (await stack.request("POST", "/echo/x", content=b"x" * size)).status_code


@pytest.mark.parametrize(("chunks", "status"), [(10, 200), (11, 413)])
async def test_a_body_without_a_declared_size_is_counted(stack: Stack, chunks: int, status: int) -> None:
    async def body() -> AsyncIterator[bytes]:
        for _ in range(chunks):
            yield b"0123456789"

    response = await stack.request("POST", "/echo/x", content=body())

    assert status == response.status_code
    assert response.headers.get("connection") == ("close" if status == 413 else None)


@pytest.mark.parametrize(
    ("path", "size", "status"),
    [("/takes-less", 10, 200), ("/takes-less", 11, 413), ("/takes-more", 1000, 200), ("/takes-more", 1001, 413)],
)
@pytest.mark.parametrize("declared", [True, False])
async def test_a_route_may_accept_less_or_more(
    stack: Stack, path: str, size: int, status: int, *, declared: bool
) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"x" * size

    response = await stack.request("POST", path, content=b"x" * size if declared else body())

    assert status == response.status_code


@pytest.mark.parametrize(
    ("path", "content", "status"),
    [
        ("/reads", b"[1,2,3,4,5,6,7,8,9]", 200),
        ("/reads", b"[1,2,3,4,5,6,7,8,9,10]", 413),
        ("/reads", b"[[[]]]", 200),
        ("/reads", b"[[[[]]]]", 413),
        ("/reads-more", b"[1,2,3,4,5,6,7,8,9,10]", 200),
        ("/reads-more", b"[[[[[[]]]]]]", 200),
        ("/reads-more", b"[[[[[[[]]]]]]]", 413),
    ],
)
async def test_the_values_and_levels_of_json_are_limited(stack: Stack, path: str, content: bytes, status: int) -> None:
    response = await stack.request("POST", path, content=content, headers={"Content-Type": "application/json"})

    assert status == response.status_code


async def test_a_request_without_an_answer_in_time_is_503(stack: Stack) -> None:
    response = await stack.request("GET", "/sleeps")

    assert response.status_code == 503
    assert response.headers["retry-after"] == "1"
    assert response.json()["detail"] == "No response was ready within 0.2 seconds."
    assert response.json()["type"].endswith(":timed-out")


async def test_probes_and_scrapes_have_no_limits(stack: Stack) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"x" * 101

    assert 200 == (await stack.request("GET", "/metrics", content=b"x" * 101)).status_code
    assert 200 == (await stack.request("GET", "/metrics", content=body())).status_code
    assert 200 == (await stack.request("GET", "/health/ready")).status_code


async def test_a_stream_outlives_the_request_timeout(stack: Stack) -> None:
    assert (await stack.request("GET", "/stream")).content == b"xxx"


async def test_the_timeout_of_one_request_leaves_the_next_alone(stack: Stack) -> None:
    await stack.request("GET", "/sleeps")

    assert (await stack.request("GET", "/echo/x")).status_code == 200
    assert (await stack.request("GET", "/sleeps")).status_code == 503


async def test_each_request_has_its_own_time_and_is_cancelled_once(stack: Stack) -> None:
    async def seconds_until_rejected() -> float:
        started = perf_counter()
        assert (await stack.request("GET", "/cleans-up")).status_code == 503
        return perf_counter() - started

    first = asyncio.create_task(seconds_until_rejected())
    await asyncio.sleep(0.1)
    second = asyncio.create_task(seconds_until_rejected())

    # 0.2 s until the timeout, and 0.15 s for the handler to clean up undisturbed.
    assert min(await first, await second) > 0.3
    assert 2 == stack.app.state.cleaned


async def test_nothing_is_kept_of_a_request_that_is_over(stack: Stack) -> None:
    def kept() -> int:
        gc.collect()
        return sum(isinstance(found, Exchange) for found in gc.get_objects())

    before = kept()
    for path in ("/echo/x", "/nothing", "/rejects"):
        await stack.request("GET", path)

    assert before == kept()


async def test_a_timeout_leaves_its_task_uncancelled(stack: Stack) -> None:
    await stack.call({"path": "/sleeps", "headers": [(b"host", b"good.test")]})
    task = asyncio.current_task()

    assert task is not None
    assert 0 == task.cancelling()
