"""An open-loop load of a chat: so many websockets in so many rooms, and a rate of messages that is raised.

Runs in the rendered project's environment (it needs uvloop) and prints one JSON object. It speaks as little of
Socket.IO as it can (its frames are parsed, its JSON is not), because it has to be faster than what it measures: what
share of its processor it took is among the figures. A message carries the moment at which it was due, and what is
counted is the time from then until each client of its room has it.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvloop

HANDSHAKE = (
    b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\n"
    b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
NO_MASK = bytes(4)
"""A client has to mask what it sends; with this key the masked bytes are the same."""
MESSAGE = b'42["new-message"'
STAMP = b'"@'
STAMP_LENGTH = 17
TEXT = "A line of ordinary length, as people write them when they talk to each other."
TICK_SECONDS = 0.002
OPENED_AT_ONCE = 50
ANSWER_SECONDS = 30.0
LATE_SECONDS = 3.0
"""So long are the last messages of a step waited for."""
RAISED = 1.3
NARROWED = 3
"""How often the rate between the last that was kept and the first that was not is tried."""
TRIES = 2
"""A rate counts as not kept when it was not twice in a row: a neighbour may have had the processor."""


TEXT_FRAME, PING_FRAME, PONG_FRAME = 0x81, 0x89, 0x8A
TWO_BYTES, EIGHT_BYTES = 126, 127
"""In the place of a frame's length: the length follows in so many bytes (RFC 6455, section 5.2)."""
HEAD_BYTES = 2


def frame(data: bytes, opcode: int = TEXT_FRAME) -> bytes:
    """A frame of a client."""
    size = len(data)
    long = size >= TWO_BYTES
    head = bytes((opcode, 0x80 | TWO_BYTES)) + size.to_bytes(2, "big") if long else bytes((opcode, 0x80 | size))
    return head + NO_MASK + data


class Client(asyncio.Protocol):
    """One websocket, in one room; *on_message* gets the moment at which a message was due, and that of its arrival."""

    def __init__(self, connect: str, join: str, on_message: Callable[[float, float], None]) -> None:
        self._packets = iter((f"40{connect}", f"420{join}"))
        self._on_message = on_message
        self._rest = b""
        self._upgraded = False
        self.acknowledged = 0
        self.in_room = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.write(HANDSHAKE)

    def say(self, event: str) -> None:
        """Send an event that asks for an acknowledgement."""
        self.transport.write(frame(b"421" + event.encode()))

    def data_received(self, data: bytes) -> None:
        now = time.monotonic()
        if self._rest:
            data = self._rest + data
        at, end = (0 if self._upgraded else self._after_head(data)), len(data)
        while end - at >= HEAD_BYTES:
            size, head = data[at + 1], at + 2
            if size == TWO_BYTES:
                size, head = int.from_bytes(data[at + 2 : at + 4], "big"), at + 4
            elif size == EIGHT_BYTES:
                size, head = int.from_bytes(data[at + 2 : at + 10], "big"), at + 10
            if head + size > end:
                break
            if data.startswith(MESSAGE, head):
                stamp = data.find(STAMP, head) + len(STAMP)
                self._on_message(float(data[stamp : stamp + STAMP_LENGTH]), now)
            else:
                self._other(data[at], data[head : head + size])
            at = head + size
        self._rest = data[at:]

    def connection_lost(self, _error: Exception | None) -> None:
        self._fail("the server closed the connection")

    def _fail(self, reason: str) -> None:
        if not self.in_room.done():
            self.in_room.set_exception(ConnectionError(reason))

    def _after_head(self, data: bytes) -> int:
        """Where the first frame begins, once the answer to the handshake is there."""
        end = data.find(b"\r\n\r\n")
        if end < 0:
            return len(data)
        if not data.startswith(b"HTTP/1.1 101"):
            self._fail(f"no websocket: {data[:300]!r}")
            return len(data)
        self._upgraded = True
        return end + 4

    def _other(self, opcode: int, packet: bytes) -> None:
        if opcode == PING_FRAME:
            self.transport.write(frame(packet, PONG_FRAME))
        elif packet == b"2":
            self.transport.write(frame(b"3"))
        elif packet.startswith(b"431["):
            self.acknowledged += b'"ok":true' in packet
        elif packet.startswith((b"0{", b"40{")):
            self.transport.write(frame(next(self._packets).encode()))
        elif packet.startswith(b"430["):
            if b'"ok":true' in packet:
                self.in_room.set_result(None)
            else:
                self._fail(f"not in the room: {packet!r}")


class Load:
    """*connections* spread over *rooms*, to the server on *port*, whose process is *pid*."""

    def __init__(self, port: int, pid: int, *, connections: int, rooms: int, token: str) -> None:
        self._port, self._pid = port, pid
        self._connections, self._rooms, self._token = connections, rooms, token
        self.clients: list[Client] = []
        self.latencies: list[float] = []
        self._counted_from = float("inf")
        self._numbers = itertools.count()
        self._run = os.urandom(4).hex()

    async def open(self) -> None:
        """Connect everyone, and let them join."""
        for start in range(0, self._connections, OPENED_AT_ONCE):
            numbers = range(start, min(start + OPENED_AT_ONCE, self._connections))
            opened = await asyncio.gather(*map(self._new_client, numbers))
            async with asyncio.timeout(ANSWER_SECONDS):
                await asyncio.gather(*(client.in_room for client in opened))
            self.clients += opened

    async def _new_client(self, number: int) -> Client:
        who = {} if self._token else {"userId": f"user{number}", "username": f"User {number}"}
        join = json.dumps(["join-room", {"roomId": self._room(number), **who}])
        connect = json.dumps({"token": self._token}) if self._token else ""
        loop = asyncio.get_running_loop()
        return (await loop.create_connection(lambda: Client(connect, join, self._hear), "127.0.0.1", self._port))[1]

    def _room(self, number: int) -> str:
        return f"room{number % self._rooms}"

    def _hear(self, due: float, now: float) -> None:
        if due >= self._counted_from:
            self.latencies.append(now - due)

    async def step(self, rate: float, seconds: float) -> dict[str, float]:
        """Send *rate* messages a second, for *seconds*; the figures of it."""
        self.latencies = []
        acknowledged = sum(client.acknowledged for client in self.clients)
        cpu, own, started = cpu_seconds(self._pid), time.process_time(), time.monotonic()
        self._counted_from = started - TICK_SECONDS  # a stamp is rounded
        messages = await self._send(rate, started, seconds)
        share = (time.process_time() - own) / (time.monotonic() - started)
        copies = messages * self._connections // self._rooms
        ends = time.monotonic() + LATE_SECONDS
        while len(self.latencies) < copies and time.monotonic() < ends:  # noqa: ASYNC110 - nothing says so
            await asyncio.sleep(TICK_SECONDS)
        counted = sorted(self.latencies) + [float("inf")] * (copies - len(self.latencies))
        return {
            "rate": rate,
            "p50_ms": counted[copies // 2] * 1000,
            "p99_ms": counted[copies * 99 // 100] * 1000,
            "cpu_us": (cpu_seconds(self._pid) - cpu) / messages * 1e6,
            "load_cpu_share": share,
            "missing": copies - len(self.latencies),
            "not_acknowledged": messages + acknowledged - sum(client.acknowledged for client in self.clients),
        }

    async def _send(self, rate: float, started: float, seconds: float) -> int:
        """How many there were; each is due at its own moment, however late it is sent."""
        total, sent = round(rate * seconds), 0
        while sent < total:
            due = min(total, int((time.monotonic() - started) * rate) + 1)
            for place in range(sent, due):
                self._send_one(started + place / rate)
            sent = due
            await asyncio.sleep(TICK_SECONDS)
        return total

    def _send_one(self, due: float) -> None:
        number = next(self._numbers)
        text = f"@{due:0{STAMP_LENGTH}.6f} {TEXT}"
        members = f'"roomId":"{self._room(number)}","message":"{text}","clientMessageId":"{self._run}-{number}"'
        self.clients[number % self._connections].say(f'["send-message",{{{members}}}]')

    async def most(self, first: float, seconds: float, limit_ms: float, most: float) -> dict[str, float]:
        """The figures of the highest rate whose 99th percentile stays within *limit_ms*, up to about *most*."""
        kept, rate = await self._held(first, seconds, limit_ms), first
        while kept is None:  # the first was too much already
            rate /= RAISED
            kept = await self._held(rate, seconds, limit_ms)
        low, high = rate, rate * RAISED
        while high <= most and (better := await self._held(high, seconds, limit_ms)) is not None:
            kept, low, high = better, high, high * RAISED
        if high > most:
            return kept
        for _ in range(NARROWED):
            middle = (low * high) ** 0.5
            if (better := await self._held(middle, seconds, limit_ms)) is not None:
                kept, low = better, middle
            else:
                high = middle
        return kept

    async def _held(self, rate: float, seconds: float, limit_ms: float) -> dict[str, float] | None:
        """The figures of a step that stayed within *limit_ms*; None if there was none."""
        for _ in range(TRIES):
            figures = await self.step(rate, seconds)
            if figures["p99_ms"] <= limit_ms:
                return figures
            await asyncio.sleep(min(1.0, figures["p99_ms"] / 1000))
        return None


def cpu_seconds(pid: int) -> float:
    """What the process *pid* has spent so far, all threads together."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_kilobytes(pid: int) -> float:
    """What of the process *pid* is in memory."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


async def run(options: argparse.Namespace) -> dict[str, float]:
    """Open the connections, and do with them what is asked for."""
    sizes = {"connections": options.connections, "rooms": options.rooms}
    load = Load(options.port, options.pid, **sizes, token=options.token)
    before = resident_kilobytes(options.pid)
    await load.open()
    if options.idle:
        await asyncio.sleep(options.idle)
        held = sum(not client.transport.is_closing() for client in load.clients)
        return {"held": held, "kilobytes": (resident_kilobytes(options.pid) - before) / options.connections}
    await load.step(options.rate, options.seconds)  # warms up
    return await load.most(options.rate, options.seconds, options.limit, options.most)


def main() -> None:
    """Parse the arguments, take the given processor, load, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("pid", type=int, help="of the server")
    parser.add_argument("--connections", type=int, default=200)
    parser.add_argument("--rooms", type=int, default=10)
    parser.add_argument("--token", default="", help="of a user, where the chat asks for one")
    parser.add_argument("--rate", type=float, default=300.0, help="messages a second to begin with")
    parser.add_argument("--most", type=float, default=100_000.0, help="messages a second to end with")
    parser.add_argument("--seconds", type=float, default=3.0, help="how long a rate is kept")
    parser.add_argument("--limit", type=float, default=200.0, help="milliseconds that the 99th percentile may take")
    parser.add_argument("--idle", type=float, default=0.0, help="only hold the connections, for so many seconds")
    parser.add_argument("--cpu", type=int)
    options = parser.parse_args()
    if options.cpu is not None:
        os.sched_setaffinity(0, {options.cpu})
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    print(json.dumps(uvloop.run(run(options))))


if __name__ == "__main__":
    main()
