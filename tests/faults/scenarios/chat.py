"""One chat over two processes behind nginx, which are restarted in turn, and one of which is killed."""

from __future__ import annotations

import contextlib
import json
import signal
import time
from collections.abc import Iterator, Sequence

import httpx2
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from chassis.open.harness import free_port

from ..story import BrokenPromise, Story, patient_scenario
from ..talkers import PATH, ROOM, Talk, Talker, most_at_once
from ..world import ADMIN, Running, Store, World, new_client
from .proxies import answers, nginx
from .redis import redis

PEOPLE = 12
DRAIN_DELAY_SECONDS = 3
GONE_SECONDS = 6.0
"""Within which the users of a process that died have left: docs/chat.md."""
SLOW_SECONDS = 2.0
"""How much longer it may take on a machine that does much else."""
NOTICED_SECONDS = 1.0
"""Within which the signal has been seen, on a machine that does much else."""


class Pair:
    """Two processes that are one chat, and people with a token each."""

    def __init__(self, world: World, store: Store, redis_url: str, running: contextlib.ExitStack) -> None:
        self._world, self._store, self._running = world, store, running
        self._variables = {
            "REDIS_URL": redis_url,
            "DRAIN_DELAY_SECONDS": str(DRAIN_DELAY_SECONDS),
            "TRUSTED_PROXIES": "127.0.0.1",
            "CHAT_MESSAGES_PER_SECOND": "1000",
            "CHAT_EVENTS_PER_SECOND": "1000",
        }
        self.ports = [free_port(), free_port()]
        self.processes = [self._start(port) for port in self.ports]
        for process in self.processes:
            process.port()

    def _start(self, port: int) -> Running:
        return self._running.enter_context(self._world.serve(self._store.url, PORT=str(port), **self._variables))

    def people(self, count: int) -> list[tuple[str, str]]:
        """*count* new users: the name and the token of each."""
        with new_client(self.url(0), self._store.token) as client:
            return [(f"person{number}", _new_token(client, number)) for number in range(count)]

    def url(self, number: int) -> str:
        return f"http://127.0.0.1:{self.ports[number]}"

    def start_again(self, number: int) -> None:
        """Start process *number*, which has ended, and wait until it serves, as whoever restarts them has to."""
        self.processes[number] = self._start(self.ports[number])
        self.processes[number].port()
        while not answers(self.url(number)):
            time.sleep(0.05)

    def stored(self, world: World) -> dict[str, int]:
        """Id by client message id. Raises BrokenPromise if a message is there twice, or a number is missing."""
        cluster, _ = world.postgresql()
        rows = cluster.rows(
            f"SELECT json_build_array(client_message_id, id) FROM messages WHERE room_id = '{ROOM}' ORDER BY id",  # noqa: S608 - ours
            self._store.url,
        )
        pairs = [json.loads(row) for row in rows]
        wrong = [(number, pair) for number, pair in enumerate(pairs, 1) if pair[1] != number]
        if wrong:
            raise BrokenPromise(f"stored with the numbers from 1 on: in the place of {wrong[0][0]} is {wrong[0][1]}")
        if len(dict(pairs)) != len(pairs):
            raise BrokenPromise(f"stored once each: {len(pairs)} rows of {len(dict(pairs))} messages")
        return dict(pairs)


def _new_token(client: httpx2.Client, number: int) -> str:
    user = {"name": f"Person {number}", "email": f"person{number}@example.com", "password": ADMIN["password"]}
    client.post("/api/users", json=user).raise_for_status()
    del user["name"]
    token: str = client.post("/api/auth/login", json=user).raise_for_status().json()["access_token"]
    return token


@contextlib.contextmanager
def _pair(world: World) -> Iterator[Pair]:
    _, store = world.postgresql()
    with redis(world) as server, contextlib.ExitStack() as running:
        yield Pair(world, store, server.url, running)


@patient_scenario
def chat_rolling_restart_behind_nginx(world: World, story: Story) -> None:
    """Two processes of one chat behind nginx, restarted in turn while people talk: no acknowledged message is lost,
    and everybody is shown each exactly once and in order; new sessions get 503 and open ones move one by one.
    """
    with _pair(world) as pair, nginx(world, story, pair.ports) as front, Talk() as talk:
        people = pair.people(PEOPLE + 2)
        talkers = talk.enter(f"http://127.0.0.1:{front}", people[:PEOPLE])
        for number in range(2):
            _restart(pair, number, talk, people[PEOPLE + number], story)
            talk.wait(lambda: all(talker.is_in for talker in talkers))
            time.sleep(1)
        refusals = [status for talker in talkers for status in talker.refusals]
        story.did(f"restarted both in turn under {PEOPLE} who talked; their handshakes were refused with {refusals}")
        story.holds(set(refusals) <= {503}, "no handshake was refused with anything else than 503")
        story.holds(not any(talker.dismissed for talker in talkers), "nobody was sent away for good")
        _settle(world, story, pair, talk, talkers)


def _restart(pair: Pair, number: int, talk: Talk, someone: tuple[str, str], story: Story) -> None:
    """End process *number*, see how it does that, and start it again."""
    [last] = talk.enter(pair.url(number), [someone], returns=False)  # who came last is moved last
    process = pair.processes[number]
    process.signal(signal.SIGTERM)
    signalled = time.monotonic()
    story.until(lambda: _handshake(pair.ports[number]) == 503, NOTICED_SECONDS, "a new handshake gets 503")
    said = len(last.acknowledged)
    story.until(lambda: len(last.acknowledged) > said, NOTICED_SECONDS, "a session that is open goes on")
    statuses = set()
    while last.is_in:
        statuses.add(_handshake(pair.ports[number]))
        time.sleep(0.1)
    story.holds(statuses <= {503, 0}, f"every later one too, until nothing listens any more: {sorted(statuses)}")
    code = process.exit_code(DRAIN_DELAY_SECONDS + 15)
    story.holds(code == 0, f"a clean end: {code}")
    moved = [moment for talker in talk.talkers for moment in talker.ended_at if moment >= signalled]
    spread, crowd = max(moved) - min(moved), most_at_once(moved, DRAIN_DELAY_SECONDS / 5)
    story.holds(
        spread > DRAIN_DELAY_SECONDS * 0.6,
        f"{len(moved)} sessions moved, spread over {spread:.1f} s of the drain delay",
    )
    story.holds(crowd <= max(2, len(moved) * 0.6), f"at most {crowd} of them within a fifth of it")
    pair.start_again(number)


def _handshake(port: int) -> int:
    """The status of a new handshake at *port*; 0 if nothing listens there."""
    try:
        with connect(f"ws://127.0.0.1:{port}{PATH}", proxy=None):
            return 101
    except InvalidStatus as refusal:
        return refusal.response.status_code
    except OSError:
        return 0


@patient_scenario
def chat_process_killed_behind_nginx(world: World, story: Story) -> None:
    """One of two processes of a chat is killed: its users leave within 6 s, its clients come back to the other, and
    what was acknowledged is stored, and shown exactly once and in order.
    """
    with _pair(world) as pair, nginx(world, story, pair.ports) as front, Talk() as talk:
        people = pair.people(8)
        talkers = talk.enter(f"http://127.0.0.1:{front}", people[:6])
        [watcher] = talk.enter(pair.url(1), people[6:7], speaks=False)
        [lost] = talk.enter(pair.url(0), people[7:], returns=False)
        talk.wait(lambda: all(talker.acknowledged for talker in (*talkers, lost)))
        pair.processes[0].signal(signal.SIGKILL)
        story.did("killed one of two processes under 7 who talked")
        story.until(
            lambda: lost.user_id in watcher.heard_leave,
            GONE_SECONDS + SLOW_SECONDS,
            "the user who does not return leaves",
        )
        said = {talker: len(talker.acknowledged) for talker in talkers}
        story.until(
            lambda: all(len(talker.acknowledged) > count for talker, count in said.items()),
            GONE_SECONDS,
            "everybody else talks on at the other process",
        )
        moved = sum(bool(talker.ended_at) for talker in talkers)
        story.holds(0 < moved < len(talkers), f"{moved} of {len(talkers)} had to come back")
        _settle(world, story, pair, talk, [*talkers, watcher])


def _settle(world: World, story: Story, pair: Pair, talk: Talk, talkers: Sequence[Talker]) -> None:
    """Let everybody fall silent, and compare what they know with the database. Raises BrokenPromise."""
    talk.hush(talkers)
    stored = pair.stored(world)
    known = {named: number for talker in talk.talkers for named, number in talker.acknowledged.items()}
    story.holds(known.items() <= stored.items(), f"all of {len(known)} acknowledged messages are stored, each once")
    again = sum(talker.again for talker in talkers)
    story.holds(again > 0, f"{again} were sent again, and acknowledged under the id that they had")
    story.until(
        lambda: all(len(talker.shown) >= len(stored) for talker in talkers), 10, "everybody was shown the last message"
    )
    for talker in talkers:
        shown = [(message["clientMessageId"], message["id"]) for message in talker.shown]
        if shown != list(stored.items()):
            raise BrokenPromise(f"{talker.name} was shown each of them once and in order")
    story.holds(True, f"each of {len(talkers)} was shown all {len(stored)} once and in order")
