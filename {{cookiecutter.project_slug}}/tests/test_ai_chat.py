"""The assistant: what the model is asked, who sees which conversation, and what is said when it fails."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from {{ cookiecutter.package_name }}.services.ai_chat import PROMPT

from .ai_chat import IDENTIFIED, FakeProvider, fails, known, says, streamed, text_of
from .application import production
from .process import ServiceProcess, run

LOADED = re.compile(r'(?:src|href|from) ?=? ?"((?:assistant/|\./)[^"]+)"')


@pytest.fixture
def provider() -> Iterator[FakeProvider]:
    with FakeProvider() as running:
        yield running


@pytest.fixture
def key() -> str:
    return secrets.token_urlsafe(24)


@pytest.fixture
def asked(tmp_path: Path, database_url: str, provider: FakeProvider, key: str) -> Iterator[ServiceProcess]:
    """A service that asks *provider*."""
    variables = {"AI_BASE_URL": provider.url, "AI_API_KEY": key, "AI_MODEL": "small", "AI_ATTEMPTS": "1"}
    with ServiceProcess(tmp_path, DATABASE_URL=database_url, **variables) as service:
        yield service


def test_without_a_key_an_echo_responds_whole_and_token_by_token(tmp_path: Path, sqlite_url: str) -> None:
    with ServiceProcess(tmp_path, DATABASE_URL=sqlite_url) as service, service.client() as client:
        known(client)
        whole = client.post("/api/ai/chat", json={"message": "hello there"}).json()
        events = streamed(client, "hello there")

        assert "You said: hello there" == whole["message"] == text_of(events)
        assert ["token"] * 4 + ["usage", "done"] == [name for name, _ in events]
        assert whole["usage"] == events[-2][1]
        assert (0, "") == (service.stop(), service.stderr())


def test_the_model_gets_the_instructions_and_the_conversation(
    asked: ServiceProcess, provider: FakeProvider, key: str
) -> None:
    with asked.client() as client:
        known(client)
        context = [{"role": "user", "content": "Be short."}, {"role": "assistant", "content": "Yes."}]
        first = client.post("/api/ai/chat", json={"message": "Hi", "context": context}).raise_for_status().json()
        again = client.post("/api/ai/chat", json={"message": "And?", "conversation_id": first["conversation_id"]})

        assert ("Hello there", "stop") == (first["message"], first["finish_reason"])
        assert {"input_tokens": 7, "output_tokens": 3} == first["usage"]
        assert first["conversation_id"] == again.json()["conversation_id"]
        one, two = provider.calls
        assert f"Bearer {key}" == one.headers["authorization"]
        assert ("small", True) == (one.body["model"], one.body["stream"])
        assert ("system", PROMPT) == (one.said[0][0], one.said[0][1][: len(PROMPT)])
        assert [("user", "Be short."), ("assistant", "Yes."), ("user", "Hi")] == one.said[1:]
        assert [("user", "Hi"), ("assistant", "Hello there"), ("user", "And?")] == two.said[1:]

        path = f"/api/ai/conversations/{first['conversation_id']}"
        messages = client.get(path).json()["messages"]
        assert ["Hi", "Hello there", "And?", "Hello there"] == [message["content"] for message in messages]
        assert 204 == client.delete(path).status_code
        assert 404 == client.get(path).status_code


@pytest.mark.skipif(not IDENTIFIED, reason="no feature identifies callers")
def test_a_conversation_is_its_users_alone_and_goes_with_them(asked: ServiceProcess, provider: FakeProvider) -> None:
    with asked.client() as client, asked.client() as other:
        known(client, "Ada")
        known(other, "Bob")
        conversation = client.post("/api/ai/chat", json={"message": "Hi"}).json()["conversation_id"]
        path = f"/api/ai/conversations/{conversation}"

        assert 404 == other.post("/api/ai/chat", json={"message": "x", "conversation_id": conversation}).status_code
        assert [404, 404] == [other.get(path).status_code, other.delete(path).status_code]
        assert 1 == len(provider.calls)
        assert 200 == client.get(path).status_code
        me = client.get("/api/auth/me").json()["id"]
        assert 204 == client.delete(f"/api/users/{me}").status_code
        assert 401 == client.get(path).status_code


def test_a_failure_of_the_provider_is_one_error_that_shows_nothing_of_it(
    asked: ServiceProcess, provider: FakeProvider, key: str
) -> None:
    provider.behaviours = [fails(401), fails(429, Retry_After="60"), says("no", " end", reason="")]
    with asked.client() as client:
        known(client)
        private = secrets.token_hex(8)
        statuses = [client.post("/api/ai/chat", json={"message": private}) for _ in range(3)]

        assert [502, 503, 502] == [response.status_code for response in statuses]
        assert "60" == statuses[1].headers["retry-after"]
        assert 0 == asked.stop()
        written = "".join([*map(str, asked.lines), *(response.text for response in statuses), asked.stderr()])
        assert not [secret for secret in (key, private) if secret in written]
        kinds = [line["kind"] for line in asked.lines if line["event"] == "provider failed"]
        assert ["rejected_key", "rate_limited", "broken_stream"] == kinds


def test_production_does_not_start_without_a_key(tmp_path: Path, key: str) -> None:
    needed = production(AI_API_KEY=key)
    refused = run(tmp_path, "config", "--check", **{name: needed[name] for name in needed if name != "AI_API_KEY"})
    accepted = run(tmp_path, "config", "--check", **needed)

    assert 78 == refused.returncode
    assert "AI_API_KEY: missing; production needs the key" in refused.stderr
    assert 0 == accepted.returncode, accepted.stderr
    shown = run(tmp_path, "config", **needed)
    assert key not in shown.stdout
    assert "AI_PAGE_ENABLED=false" in shown.stdout


def test_the_page_loads_its_own_parts_and_nothing_else(asked: ServiceProcess) -> None:
    with asked.client() as client:
        page = client.get("/assistant")
        assert "default-src 'self'" in page.headers["content-security-policy"]
        assert "//" not in page.text, "another host"
        waiting, loaded = LOADED.findall(page.text), set[str]()
        while waiting:
            path = waiting.pop().replace("./", "assistant/assets/")
            if path not in loaded:
                loaded.add(path)
                waiting += LOADED.findall(client.get(f"/{path}").raise_for_status().text)
        assert {"assistant/assets/assistant.js", "assistant/assets/requests.js"} <= loaded
