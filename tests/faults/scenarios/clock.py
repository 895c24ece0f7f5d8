"""A clock that jumps."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import httpx2

from ..story import Story, cannot_run, scenario
from ..world import ADMIN, SERVE, World

LIBRARY = "faketime/libfaketimeMT.so.1"


def _library() -> str:
    found = [path for folder in ("/usr/lib", "/usr/local/lib") for path in Path(folder).glob(f"**/{LIBRARY}")]
    if not found:
        cannot_run("no libfaketime (Debian's package is `faketime`)")
    return str(found[0])


@scenario
def clock_jumps(world: World, story: Story) -> None:
    """The clock jumps two hours ahead and back: old tokens end, new ones are given, limits and deadlines go on."""
    store = world.sqlite()
    offset = world.folder / "offset"
    offset.write_text("+0")
    fake = {
        "LD_PRELOAD": _library(),
        "FAKETIME_TIMESTAMP_FILE": str(offset),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }
    with (
        world.serve(store.url, command=SERVE, RATE_LIMIT_PER_MINUTE="100", **fake) as service,
        service.client() as client,
    ):
        first = _login(client)
        story.holds(_status(client, first) == 200, "a token is good")
        _set(offset, "+7200")
        time.sleep(0.2)
        story.did("set the clock two hours ahead")
        story.holds(_status(client, first) == 401, "the token, which is good for an hour, is not any more")
        second = _login(client)
        story.holds(_status(client, second) == 200, "a new one is given, and good")
        story.until(lambda: client.get("/health/ready").status_code == 200, 5, "it is ready")
        _set(offset, "-7200")
        time.sleep(0.2)
        story.did("set it two hours back from where it was")
        early = _status(client, second)
        story.holds(early == 401, f"a token from the future is rejected: {early}")
        third = _login(client)
        story.holds(_status(client, third) == 200, "a new one is given, and good")
        answers = [client.get("/") for _ in range(100)]
        statuses = Counter(answer.status_code for answer in answers)
        story.holds(set(statuses) == {200, 429}, f"the rate limit counts: {dict(statuses)}")
        waits = int(answers[-1].headers["retry-after"])
        story.holds(0 < waits <= 60, f"and ends within its minute, not hours later: Retry-After is {waits}")
        story.until(lambda: client.get("/health/ready").status_code == 200, 5, "it is ready")
        service.signal()
        code = service.exit_code(30)
        last = [f"{line['event']}: {line}" for line in service.lines_so_far()[-6:]] if code else []
        story.holds(code == 0, f"SIGTERM ends it cleanly: exit code {code} {last or ''}")


def _set(offset: Path, seconds: str) -> None:
    """At once: the library reads the file for each time that is asked for, and an empty one is another clock."""
    fresh = offset.with_suffix(".new")
    fresh.write_text(seconds)
    fresh.replace(offset)


def _login(client: httpx2.Client) -> str:
    token: str = client.post("/api/auth/login", json=ADMIN).raise_for_status().json()["access_token"]
    return token


def _status(client: httpx2.Client, token: str) -> int:
    return client.get("/api/auth/me", headers={"Authorization": f"Bearer {token}"}).status_code
