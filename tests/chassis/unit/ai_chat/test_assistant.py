"""The assistant on real databases, with providers that are hard to find: what is kept, counted and given back."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, text, update

from acme_service.chassis import Core
from acme_service.chassis.access import Caller
from acme_service.chassis.ai_chat import (
    Assistant,
    AssistantLimits,
    AssistantTables,
    EchoProvider,
    Message,
    OpenAIProvider,
    Provider,
    Usage,
)
from acme_service.chassis.ai_chat.shapes import AssistantRequest, AssistantResponse
from acme_service.chassis.errors import DatabaseUnavailable, NotFound
from acme_service.chassis.metrics import Metrics
from acme_service.models.ai_chat import Conversation, ConversationMessage, TokenBudget

from tests.ai_chat import FakeProvider, says
from tests.application import running

pytestmark = pytest.mark.anyio

ANONYMOUS = Caller(client="192.0.2.1")
LIMITS = {
    "first_token_seconds": 5.0,
    "token_seconds": 5.0,
    "total_seconds": 20.0,
    "attempts": 1,
    "input_tokens": 1000,
    "output_tokens": 100,
    "completions": 10,
    "completions_per_user": 10,
    "daily_tokens": 10_000,
    "messages": 10,
    "keep_days": 30.0,
}


class Script(Provider):
    """Says *parts*, then waits until it may end."""

    def __init__(self, *parts: str) -> None:
        self.parts = parts
        self.may_end = asyncio.Event()
        self.may_end.set()

    async def stream(self, messages: Sequence[Message], *, max_output_tokens: int) -> AsyncGenerator[str | Usage]:
        assert messages
        assert max_output_tokens
        for part in self.parts:
            yield part
        await self.may_end.wait()
        yield Usage("stop", 30, 20)


async def instructions(_caller: Caller, _message: str) -> str:
    return "Be brief."


def new(core: Core, provider: Provider, **limits: Any) -> Assistant:
    tables = AssistantTables(conversations=Conversation, messages=ConversationMessage, budgets=TokenBudget)
    return Assistant(core, provider, tables, limits=AssistantLimits(**{**LIMITS, **limits}), instructions=instructions)


@pytest.fixture
async def core(database_url: str, tmp_path: Path) -> AsyncIterator[Core]:
    """The core of a running service, which has an assistant already, and so its metrics."""
    async with running(database_url, tmp_path) as application:
        yield replace(application.core, metrics=Metrics())


async def whole(assistant: Assistant, message: str = "Hi", **body: Any) -> AssistantResponse:
    items = [item async for item in assistant.complete(ANONYMOUS, AssistantRequest(message=message, **body))]
    assert isinstance(items[-1], AssistantResponse)
    return items[-1]


async def used(core: Core) -> int:
    return int(await core.database.fetch_value(select(func.sum(TokenBudget.tokens))) or 0)


async def count(core: Core, table: Any) -> int:
    return int(await core.database.fetch_value(select(func.count()).select_from(table)))


async def test_a_cancellation_at_any_moment_settles_once_and_stores_all_or_nothing(core: Core) -> None:
    assistant = new(core, Script("one ", "two"), daily_tokens=10**9)
    await whole(assistant)
    per_request = await used(core)
    assert 50 == per_request
    for attempt in range(40):
        before, conversations = await used(core), await count(core, Conversation)
        task = asyncio.create_task(whole(assistant))
        for _ in range(attempt // 2):
            await asyncio.sleep(0)
        await asyncio.sleep(0.0004 * attempt)
        task.cancel()
        await asyncio.wait([task])
        stored = await count(core, Conversation) - conversations

        assert await used(core) - before in ({per_request} if stored else {0, *range(8, 60)}), attempt
        assert 2 * await count(core, Conversation) == await count(core, ConversationMessage)
    assert not assistant._running  # noqa: SLF001 - no place is left taken


@asynccontextmanager
async def locked(core: Core) -> AsyncIterator[None]:
    """The table of conversations cannot be written meanwhile."""
    async with core.database.transaction() as session:
        if core.database.kind == "postgresql":
            await session.execute(text("LOCK TABLE ai_conversations IN ACCESS EXCLUSIVE MODE"))
        else:
            await session.execute(update(Conversation).values(last_number=Conversation.last_number))
        yield


async def test_a_completion_that_cannot_be_stored_is_an_error_and_counts(database_url: str, tmp_path: Path) -> None:
    limits = {"DB_STATEMENT_TIMEOUT_SECONDS": "1", "DB_POOL_TIMEOUT_SECONDS": "1"}
    async with running(database_url, tmp_path, **limits) as application:
        core, provider = replace(application.core, metrics=Metrics()), Script("one")
        assistant = new(core, provider)
        provider.may_end.clear()
        task = asyncio.create_task(whole(assistant))
        while not await used(core):
            await asyncio.sleep(0.01)
        async with locked(core):
            provider.may_end.set()
            with pytest.raises(DatabaseUnavailable):
                await task
        assert 0 == await count(core, Conversation)
        assert await used(core) >= 50


async def test_messages_of_one_conversation_at_once_are_all_kept(core: Core) -> None:
    assistant = new(core, Script("one"), messages=100)
    conversation = (await whole(assistant)).conversation_id
    await asyncio.gather(*(whole(assistant, f"m{number}", conversation_id=conversation) for number in range(8)))

    messages = await assistant.conversations.messages(conversation, "")
    assert ["user", "assistant"] * 9 == [message.role for message in messages]
    assert {f"m{number}" for number in range(8)} < {message.content for message in messages}


async def test_a_conversation_that_goes_meanwhile_is_not_found(core: Core) -> None:
    provider = Script("one")
    assistant = new(core, provider)
    conversation = (await whole(assistant)).conversation_id
    provider.may_end.clear()
    async with aclosing(
        assistant.complete(ANONYMOUS, AssistantRequest(message="x", conversation_id=conversation))
    ) as items:
        assert "one" == await anext(items)
        await assistant.conversations.remove(conversation, "")
        provider.may_end.set()
        with pytest.raises(NotFound):
            await anext(items)
    assert 0 == await count(core, ConversationMessage)


async def test_a_user_that_goes_meanwhile_takes_the_conversation_along(core: Core) -> None:
    assistant = new(core, Script("one"))
    gone = Caller(user_id="01890000-0000-7000-8000-000000000000")
    with pytest.raises(NotFound):
        [item async for item in assistant.complete(gone, AssistantRequest(message="x"))]

    assert 0 == await count(core, Conversation)


async def test_what_is_kept_no_longer_is_removed_and_nothing_else(core: Core) -> None:
    assistant = new(core, Script("one"), daily_tokens=10**9)
    for _ in range(5):
        await whole(assistant)
    newest = await whole(assistant)
    long_ago = datetime.now(UTC) - timedelta(days=31)
    async with core.database.transaction() as session:
        others = Conversation.id != newest.conversation_id
        await session.execute(update(Conversation).where(others).values(changed_at=long_ago))
        await session.execute(update(TokenBudget).values(day="2020-01-01"))
    await whole(assistant)
    await assistant.tidy()

    assert (2, 4) == (await count(core, Conversation), await count(core, ConversationMessage))
    assert 50 == await used(core)


async def test_the_echo_keeps_to_the_limit() -> None:
    items = [item async for item in EchoProvider(seconds=0).stream([Message("user", "a b c d")], max_output_tokens=3)]

    assert ["You", " said:", " a", Usage("length", 4, 3)] == items


async def test_a_client_of_the_sdk_is_renewed_and_takes_nothing_from_the_environment() -> None:
    secrets = {"OPENAI_ORG_ID": "org", "OPENAI_PROJECT_ID": "project"}
    os.environ.update(secrets)
    try:
        with FakeProvider(says("yes")) as fake:
            provider = OpenAIProvider(
                base_url=fake.url, api_key="k", model="m", options={"temperature": 0.2}, limit_field="max_tokens"
            )
            for _ in range(2):
                await provider.open()
                async with aclosing(provider.stream([Message("user", "x")], max_output_tokens=9)) as stream:
                    assert "yes" == await anext(stream)
                await provider.renew()
            call = fake.call(2)
            assert (0.2, 9) == (call.body["temperature"], call.body["max_tokens"])
            assert "max_completion_tokens" not in call.body
            assert not [name for name in call.headers if "organization" in name or "project" in name]
            await provider.aclose()
    finally:
        for name in secrets:
            with suppress(KeyError):
                del os.environ[name]


def test_the_sdk_is_imported_for_the_first_request_alone(tmp_path: Path, sqlite_url: str) -> None:
    """In a process of its own, for other tests have imported it."""
    program = (
        "import sys; from acme_service.chassis.asgi import asgi; from acme_service.app import SERVICE;"
        "from starlette.testclient import TestClient;"
        "client = TestClient(asgi(SERVICE)).__enter__();"
        "assert client.get('/health/live').status_code == 200;"
        "assert 'openai' not in sys.modules, 'too early'"
    )
    environment = {"PATH": os.environ["PATH"], "DATABASE_URL": sqlite_url, "AI_API_KEY": "none", "APP_ENV": "test"}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert 0 == done.returncode, done.stderr
