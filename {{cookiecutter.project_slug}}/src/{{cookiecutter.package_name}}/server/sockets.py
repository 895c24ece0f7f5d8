"""Listening sockets: bound before the application starts, opened after it."""

from __future__ import annotations

import contextlib
import os
import socket

BACKLOG = 2048


def bound_sockets(host: str, port: int) -> list[socket.socket]:
    """One bound, not yet listening, socket for each address of *host*, all on one port.

    Binding first means that a port in use is found before the application connects to anything, while a balancer's
    probe is still refused until it is up. Raises OSError.
    """
    addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    bound: list[socket.socket] = []
    with contextlib.ExitStack() as undo:
        for family, kind, protocol, _name, address in dict.fromkeys(addresses):
            candidate = undo.enter_context(socket.socket(family, kind, protocol))
            candidate.setblocking(False)
            candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                candidate.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            chosen = bound[0].getsockname()[1] if bound else port
            candidate.bind((address[0], chosen, *address[2:]))
            bound.append(candidate)
        undo.pop_all()
    return bound


def accepted_but_waiting(listener: socket.socket) -> list[socket.socket]:
    """The connections that the system has accepted for *listener* and nobody has taken yet."""
    waiting: list[socket.socket] = []
    with contextlib.suppress(BlockingIOError):
        while True:
            connection, _address = listener.accept()
            connection.setblocking(False)
            waiting.append(connection)
    return waiting


def duplicate(listener: socket.socket) -> socket.socket:
    """A second handle, which keeps the queue of *listener* alive while the first is closed."""
    copy = socket.socket(fileno=os.dup(listener.fileno()))
    copy.setblocking(False)
    return copy
