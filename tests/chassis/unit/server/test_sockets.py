from __future__ import annotations

import os
import resource
import socket

import pytest

from acme_service.chassis.server.sockets import accepted_but_waiting, bound_sockets, duplicates

LOOPBACK = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}


def test_a_connection_that_nobody_took_yet_survives_the_end_of_its_listener() -> None:
    (listener,) = bound_sockets("127.0.0.1", 0)
    listener.listen()
    (copy,) = duplicates([listener])
    with copy, socket.create_connection(listener.getsockname(), timeout=1) as client:
        listener.close()
        (taken,) = accepted_but_waiting(copy)
        with taken:
            taken.sendall(b"hello")
            assert client.recv(5) == b"hello"
        assert accepted_but_waiting(copy) == []


def test_a_full_table_of_descriptors_costs_those_who_wait_and_raises_nothing() -> None:
    (listener,) = bound_sockets("127.0.0.1", 0)
    listener.listen()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with listener, socket.create_connection(listener.getsockname(), timeout=1):
        lowest_free = os.dup(0)
        os.close(lowest_free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
        try:
            found = duplicates([listener]), accepted_but_waiting(listener)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

        assert ([], []) == found


def test_a_bound_port_rejects_connections_until_it_is_opened() -> None:
    (listener,) = bound_sockets("127.0.0.1", 0)
    with listener, pytest.raises(ConnectionRefusedError):
        socket.create_connection(listener.getsockname(), timeout=1)


def test_all_addresses_of_a_host_share_one_port() -> None:
    listeners = bound_sockets("localhost", 0)

    assert len({listener.getsockname()[1] for listener in listeners}) == 1
    for listener in listeners:
        listener.close()


def test_an_address_of_another_machine_is_rejected() -> None:
    with pytest.raises(OSError, match="assign requested address"):
        bound_sockets("192.0.2.1", 0)


def test_the_address_of_all_addresses_serves_both_families() -> None:
    listeners = bound_sockets("::", 0)
    for listener in listeners:
        listener.listen()

    families = {listener.family: listener.getsockname()[1] for listener in listeners}
    for listener in listeners:
        with listener, socket.create_connection((LOOPBACK[listener.family], families[listener.family]), timeout=1):
            taken, address = listener.accept()
            taken.close()
            assert LOOPBACK[listener.family] == address[0]
    assert socket.AF_INET in families
    assert 1 == len(set(families.values()))
