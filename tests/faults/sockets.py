"""Clients that send bytes of their own choice."""

from __future__ import annotations

import contextlib
import re
import socket
import struct
import time
from collections.abc import Iterator

from .world import Running

HANDSHAKE = (
    b"GET %b HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


@contextlib.contextmanager
def connection(service: Running, *, seconds: float = 30.0, receive_bytes: int = 0) -> Iterator[socket.socket]:
    """A connection whose reads wait at most *seconds*; *receive_bytes* makes its window small."""
    with socket.socket() as client:
        client.settimeout(seconds)
        if receive_bytes:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        client.connect(("127.0.0.1", service.port()))
        yield client


def status_of(service: Running, request: bytes, *, seconds: float = 30.0) -> int:
    """The status of the first response to *request*; 0 if the connection ends without one."""
    with connection(service, seconds=seconds) as client:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            client.sendall(request)
        return first_status(client)


def first_status(client: socket.socket) -> int:
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while b"\r\n\r\n" not in received and (piece := client.recv(65536)):
            received += piece
    found = re.match(rb"HTTP/1\.1 (\d{3})", received)
    return int(found[1]) if found else 0


def get(target: str = "/", *fields: str) -> bytes:
    return "\r\n".join([f"GET {target} HTTP/1.1", "Host: 127.0.0.1", *fields, "", ""]).encode(
        "utf-8", "surrogateescape"
    )


def post(target: str, body: bytes, *fields: str, declared: int | None = None) -> bytes:
    """A POST of *body* as JSON, which says that it is *declared* bytes long."""
    length = len(body) if declared is None else declared
    head = [f"POST {target} HTTP/1.1", "Host: 127.0.0.1", "Content-Type: application/json"]
    return "\r\n".join([*head, f"Content-Length: {length}", *fields, "", ""]).encode() + body


def ends_within(client: socket.socket, seconds: float) -> float | None:
    """After how many seconds the peer ended the connection; None if it did not."""
    started = time.monotonic()
    client.settimeout(seconds)
    with contextlib.suppress(ConnectionResetError):
        try:
            while client.recv(65536):
                pass
        except TimeoutError:
            return None
    return time.monotonic() - started


def frame(opcode: int, payload: bytes = b"") -> bytes:
    """A masked websocket frame of a client (RFC 6455, section 5.2); *payload* has at most 125 bytes."""
    return struct.pack("!BB4s", 0x80 | opcode, 0x80 | len(payload), b"\0\0\0\0") + payload


def close_code(client: socket.socket) -> int | None:
    """The code of the next Close frame, which is answered; None if the connection ends without one."""
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := client.recv(65536):
            received += piece
            if (code := _close_code_in(received)) is not None:
                with contextlib.suppress(OSError):
                    client.sendall(frame(8, code.to_bytes(2, "big")))
                return code
    return None


def _close_code_in(received: bytes) -> int | None:
    while len(received) >= 2:
        opcode, length, at = received[0] & 0x0F, received[1] & 0x7F, 2
        if length in (126, 127):
            at = 4 if length == 126 else 10
            length = int.from_bytes(received[2:at], "big")
        if opcode == 8:
            return int.from_bytes(received[at : at + 2], "big") if length else 1005
        received = received[at + length :]
    return None
