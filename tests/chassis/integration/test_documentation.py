"""/openapi.json and /docs over HTTP; how the page looks and behaves in a browser is in test_docs_page.py."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from acme_service.chassis.http.documentation import ASSETS

from ..application import running

pytestmark = pytest.mark.anyio


@pytest.fixture
async def client(sqlite_url: str, tmp_path: Path) -> AsyncIterator[httpx2.AsyncClient]:
    async with running(sqlite_url, tmp_path) as client:
        yield client


async def addresses(client: httpx2.AsyncClient) -> list[str]:
    page = await client.get("/docs")
    return re.findall(r'(?:src|href)="([^"]+)"', page.text)


async def test_the_document_is_json_and_the_same_for_all_who_ask_at_once(client: httpx2.AsyncClient) -> None:
    first, *others = await asyncio.gather(*(client.get("/openapi.json") for _ in range(5)))

    assert (200, "application/json") == (first.status_code, first.headers["content-type"])
    assert "3.1.1" == first.json()["openapi"]
    assert all(other.content == first.content for other in others)


async def test_the_page_loads_only_what_this_service_has(client: httpx2.AsyncClient) -> None:
    parts = await addresses(client)

    assert {*ASSETS, "start.js"} == {part.rpartition("/")[2] for part in parts}
    for part in parts:
        answer = await client.get(f"/{part}")
        assert 200 == answer.status_code
        assert int(answer.headers["content-length"]) == len(answer.content) > 0
        assert "public, max-age=31536000, immutable" == answer.headers["cache-control"]
        assert "nosniff" == answer.headers["x-content-type-options"]


async def test_the_page_has_a_policy_without_foreign_hosts_or_inline_scripts(client: httpx2.AsyncClient) -> None:
    page = await client.get("/docs")

    assert "text/html; charset=utf-8" == page.headers["content-type"]
    policy = dict(part.split(" ", 1) for part in page.headers["content-security-policy"].split("; "))
    assert "'none'" == policy["default-src"]
    assert "'self'" == policy["script-src"]
    assert "'self'" == policy["connect-src"]
    assert "'none'" == policy["frame-ancestors"]
    assert [] == re.findall(r"<script(?![^>]*\ssrc=)", page.text)


@pytest.mark.parametrize("name", ["index.html", "swagger-ui.css.map", "..%2f__init__.py", "%2e%2e", "a"])
async def test_no_other_file_is_served(client: httpx2.AsyncClient, name: str) -> None:
    folder = (await addresses(client))[0].rpartition("/")[0]

    answer = await client.get(f"/{folder}/{name}")

    assert (404, "application/problem+json") == (answer.status_code, answer.headers["content-type"])


async def test_an_outdated_address_of_an_asset_is_not_answered_with_the_new_content(client: httpx2.AsyncClient) -> None:
    assert 404 == (await client.get("/docs/assets/0000000000000000/start.js")).status_code


@pytest.mark.parametrize("path", ["/openapi.json", "/docs", "/docs/assets/0/start.js"])
async def test_where_the_docs_are_off_nothing_is_there(sqlite_url: str, tmp_path: Path, path: str) -> None:
    async with running(sqlite_url, tmp_path, DOCS_ENABLED="false") as client:
        assert 404 == (await client.get(path)).status_code
        assert 200 == (await client.get("/")).status_code
