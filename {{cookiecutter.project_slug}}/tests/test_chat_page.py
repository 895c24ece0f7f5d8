"""The page to talk on: it loads what the service itself has, and is off in production unless it is wished for."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from {{ cookiecutter.package_name }}.app import SERVICE
from {{ cookiecutter.package_name }}.chassis.cli import read_settings
from {{ cookiecutter.package_name }}.config.chat import ChatSettings

from .application import production, running

pytestmark = pytest.mark.anyio

LOADED = re.compile(r'(?:src|href|from) ?=? ?"((?:chat/|\./)[^"]+)"')
TYPES = {".js": "javascript", ".css": "text/css", ".svg": "image/svg+xml", ".html": "text/html"}


async def test_the_page_loads_its_own_parts_and_nothing_else(sqlite_url: str, tmp_path: Path) -> None:
    async with running(sqlite_url, tmp_path) as application, application.client() as client:
        page = await client.get("/chat")
        assert 200 == page.status_code
        assert "default-src 'self'" in page.headers["content-security-policy"]
        assert "//" not in page.text, "another host"
        assert not re.search(r"<script>|<style>|style=| on\w+=", page.text), "the policy forbids it"

        waiting, loaded = LOADED.findall(page.text), set()
        while waiting:
            path = waiting.pop().replace("./", "chat/assets/")
            if path in loaded:
                continue
            part = await client.get(f"/{path}")
            assert 200 == part.status_code, path
            assert TYPES[Path(path).suffix] in part.headers["content-type"]
            loaded.add(path)
            waiting += LOADED.findall(part.text)
        assert {"chat/assets/chat.js", "chat/assets/socket.io.esm.min.js", "chat/assets/chat.css"} <= loaded


async def test_the_page_is_off_in_production_unless_it_is_wished_for(sqlite_url: str, tmp_path: Path) -> None:
    for environ, expected in (({}, False), ({"CHAT_PAGE_ENABLED": "true"}, True)):
        settings = read_settings(SERVICE, production(**environ), tmp_path)
        assert expected is settings.group(ChatSettings).page_enabled
    async with running(sqlite_url, tmp_path, CHAT_PAGE_ENABLED="false") as application, application.client() as client:
        assert 404 == (await client.get("/chat")).status_code
        assert 404 == (await client.get("/chat/assets/chat.js")).status_code
