"""Completions whose provider dies, and whose service is restarted."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from tests.ai_chat import Call, FakeProvider, says, streamed

from ..story import Story, scenario
from ..world import Running, World

STREAMS = 30
LIMITS = {"AI_MAX_COMPLETIONS_PER_USER": "1000", "AI_DAILY_TOKENS": "1000000000", "AI_ATTEMPTS": "1"}
Last = tuple[str, object]
"""The name of the last event, and its status."""


@scenario
def provider_dies_amid_completions(world: World, story: Story) -> None:
    """The provider of 30 completions dies: each ends with one error event, and the next ones work when it is back."""
    told, may_die = threading.Semaphore(0), threading.Event()

    def dies(call: Call) -> None:
        call.start()
        call.part("some ")
        told.release()
        may_die.wait(30)
        call.cut()

    store = world.sqlite()
    with FakeProvider(dies) as provider:
        with _asking(world, store.url, provider) as service, service.client(store.token) as client:
            with ThreadPoolExecutor(STREAMS) as pool:
                streams = [pool.submit(_last, service, store.token) for _ in range(STREAMS)]
                begun = all(told.acquire(timeout=20) for _ in range(STREAMS))
                story.holds(begun, f"{STREAMS} completions have begun")
                may_die.set()
                story.did("cut every connection to the provider")
                ends = {stream.result() for stream in streams}
            story.holds(ends == {("error", 502)}, f"every one ended with an error event: {ends}")
            running = "ai_completions_running 0.0"
            story.until(lambda: running in client.get("/metrics").text, 5, "no place is left taken")
            provider.behaviours = [says("back")]
            story.holds(_last(service, store.token)[0] == "done", "the next one is done")


@scenario
def terminated_amid_completions(world: World, story: Story) -> None:
    """SIGTERM amid 30 completions: each gets a last event, the provider sees them cancelled, the exit code is 0."""
    told = threading.Semaphore(0)
    cancelled: list[bool] = []

    def waits(call: Call) -> None:
        call.start()
        call.part("some ")
        told.release()
        cancelled.append(call.is_cancelled(30))

    store = world.sqlite()
    with FakeProvider(waits) as provider, _asking(world, store.url, provider) as service:
        service.port()
        with ThreadPoolExecutor(STREAMS) as pool:
            streams = [pool.submit(_last, service, store.token) for _ in range(STREAMS)]
            story.holds(all(told.acquire(timeout=20) for _ in range(STREAMS)), f"{STREAMS} completions have begun")
            service.signal()
            ends = {stream.result() for stream in streams}
        story.holds(ends == {("error", 503)}, f"every one ended with the type shutting-down: {ends}")
        code = service.exit_code(10)
        story.holds(code == 0, f"the exit code is 0: {code}")
        story.until(lambda: len(cancelled) == STREAMS, 5, "the provider saw each request end")
        story.holds(all(cancelled), "and each was cancelled")


def _asking(world: World, url: str, provider: FakeProvider) -> Running:
    """A service that asks *provider*; leave it with `with`."""
    return world.serve(url, AI_BASE_URL=provider.url, AI_TOKEN_SECONDS="60", **LIMITS)


def _last(service: Running, token: str) -> Last:
    """How a completion ends."""
    with service.client(token) as client:
        *_, (name, data) = streamed(client, "Say something.")
    return name, data.get("status")
