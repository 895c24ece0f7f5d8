"""Hosts, body size and time: what is refused, and what is not."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from .conftest import Stack

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("host", ["good.test", "GOOD.test:8080", "a.below.test", "a.b.below.test"])
async def test_a_listed_host_is_served(stack: Stack, host: str) -> None:
    assert (await stack.request("GET", "/echo/x", headers={"Host": host})).status_code == 200


@pytest.mark.parametrize("host", ["evil.test", "good.test.evil.test", "below.test", "[::1]:80", ""])
async def test_any_other_host_is_refused(stack: Stack, host: str) -> None:
    response = await stack.request("GET", "/echo/x", headers={"Host": host})

    assert response.status_code == 400
    assert response.json()["type"].endswith(":host-refused")


async def test_two_hosts_are_refused(stack: Stack) -> None:
    response = await stack.request("GET", "/echo/x", headers=[("Host", "good.test"), ("Host", "good.test")])

    assert response.status_code == 400


async def test_probes_may_name_any_host(stack: Stack) -> None:
    assert (await stack.request("GET", "/metrics", headers={"Host": "10.0.0.7"})).status_code == 200


@pytest.mark.parametrize(("size", "status"), [(100, 200), (101, 413)])
async def test_a_body_is_refused_by_its_declared_size(stack: Stack, size: int, status: int) -> None:
    assert status == (await stack.request("POST", "/echo/x", content=b"x" * size)).status_code


@pytest.mark.parametrize(("chunks", "status"), [(10, 200), (11, 413)])
async def test_a_body_without_a_declared_size_is_counted(stack: Stack, chunks: int, status: int) -> None:
    async def body() -> AsyncIterator[bytes]:
        for _ in range(chunks):
            yield b"0123456789"

    response = await stack.request("POST", "/echo/x", content=body())

    assert status == response.status_code
    assert response.headers.get("connection") == ("close" if status == 413 else None)


async def test_a_request_without_an_answer_in_time_is_503(stack: Stack) -> None:
    response = await stack.request("GET", "/sleeps")

    assert response.status_code == 503
    assert response.headers["retry-after"] == "1"
    assert response.json()["detail"] == "No answer was ready within 0.2 seconds."


async def test_a_stream_outlives_the_request_timeout(stack: Stack) -> None:
    assert (await stack.request("GET", "/stream")).content == b"xxx"


async def test_the_timeout_of_one_request_leaves_the_next_alone(stack: Stack) -> None:
    await stack.request("GET", "/sleeps")

    assert (await stack.request("GET", "/echo/x")).status_code == 200
    assert (await stack.request("GET", "/sleeps")).status_code == 503
