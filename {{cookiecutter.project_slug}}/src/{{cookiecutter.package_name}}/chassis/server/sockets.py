"""Listening sockets: bound before the application starts, opened after it."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import socket
import struct
import sys

BACKLOG = 2048
FAMILY_IS_OFF = {errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL}
"""`localhost` has an IPv6 address even on a machine where IPv6 is switched off."""

_SO_ATTACH_FILTER = 26
"""Linux's number (asm-generic/socket.h)."""
_DROP_SYN = b"".join(
    struct.pack("HBBI", *instruction)
    for instruction in (
        (0x30, 0, 0, 13),  # load the byte of the flags, in the header of TCP
        (0x45, 0, 1, 0x02),  # with SYN go on, else skip one
        (0x06, 0, 0, 0),  # drop
        (0x06, 0, 0, 0xFFFFFFFF),  # keep
    )
)
"""Instructions of the classic BPF (linux/filter.h)."""


def bound_sockets(host: str, port: int) -> list[socket.socket]:
    """One bound, not yet listening, socket for each address of *host*, all on one port; `::` stands for both families.

    Binding first means that a port in use is found before the application connects to anything, while a balancer's
    probe is still rejected until it is up. Raises OSError.
    """
    # One socket for both families would see IPv4 clients as ::ffff:192.0.2.1, and settings do not name them so.
    hosts = (host, "0.0.0.0") if host == "::" else (host,)  # noqa: S104 - `::` says so
    addresses = [
        address
        for each in hosts
        for address in socket.getaddrinfo(each, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    ]
    bound: list[socket.socket] = []
    with contextlib.ExitStack() as undo:
        unusable: OSError | None = None
        for family, kind, protocol, _name, address in dict.fromkeys(addresses):
            chosen = bound[0].getsockname()[1] if bound else port
            try:
                candidate = undo.enter_context(socket.socket(family, kind, protocol))
                _bind(candidate, (address[0], chosen, *address[2:]))
            except OSError as error:
                if error.errno not in FAMILY_IS_OFF:
                    raise
                unusable = error
            else:
                bound.append(candidate)
        if not bound and unusable is not None:
            raise unusable
        undo.pop_all()
    return bound


def _bind(candidate: socket.socket, address: tuple[object, ...]) -> None:
    candidate.setblocking(False)
    candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if candidate.family == socket.AF_INET6:
        candidate.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    candidate.bind(address)


def drop_handshakes(listener: socket.socket) -> None:
    """Let the system drop every packet that asks for a new connection; handshakes that have begun are completed.

    Its client asks again after a second, and is rejected when the socket is closed by then. On Linux alone.
    """
    if sys.platform != "linux":
        return
    program = ctypes.create_string_buffer(_DROP_SYN)
    description = struct.pack("HP", len(_DROP_SYN) // 8, ctypes.addressof(program))
    with contextlib.suppress(OSError):  # a system that only looks like Linux may not have it
        listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, description)


def accepted_but_waiting(listener: socket.socket) -> list[socket.socket]:
    """The connections that the system has accepted for *listener* and the process has not taken yet.

    Those for which the process has no descriptor left are not among them: they are lost, and the shutdown goes on.
    """
    waiting: list[socket.socket] = []
    while True:
        try:
            connection, _address = listener.accept()
        except ConnectionAbortedError:  # this one left while it waited
            continue
        except OSError:
            return waiting
        connection.setblocking(False)
        waiting.append(connection)


def duplicates(listeners: list[socket.socket]) -> list[socket.socket]:
    """Second handles, which keep the queues of *listeners* alive while the first are closed.

    Fewer when the process has no descriptor left: a full table must not stop the shutdown.
    """
    copies: list[socket.socket] = []
    with contextlib.suppress(OSError):
        for listener in listeners:
            copies.append(socket.socket(fileno=os.dup(listener.fileno())))
            copies[-1].setblocking(False)
    return copies
