from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest

HASH_BYTES = 19 * 1024 * 1024
"""What one password hash works in; two are made at a time."""


LARGE_BODIES_BYTES = 20 * 1024 * 1024


def resident_bytes(client: httpx2.Client) -> float:
    samples = client.get("/metrics").text.splitlines()
    return float(next(line for line in samples if line.startswith("process_resident_memory_bytes ")).split()[1])


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the resident memory of a process")
def test_no_memory_of_a_password_hash_is_kept(client: httpx2.Client) -> None:
    def create(number: int) -> Any:
        user = {"name": "Ada", "email": f"ada{number}@example.org", "password": "correct horse"}
        return client.post("/api/users", json=user).status_code

    assert 201 == create(0)
    before = resident_bytes(client)
    with ThreadPoolExecutor(4) as clients:
        assert {201} == set(clients.map(create, range(1, 21)))

    assert resident_bytes(client) - before < HASH_BYTES / 2


HOSTILE = {
    "members": ("{" + ",".join(f'"{number:0190d}":1' for number in range(4_990)) + "}").encode(),
    "more members than are accepted": b"{" + b'"a":1,' * 170_000 + b'"a":1}',
    "empty lists": b"[" + b"[]," * 340_000 + b"[]]",
    "a long text": b'{"name":"' + b"\\u00e9" * 170_000 + b'"}',
    "a long number": b'{"name":' + b"9" * 1_000_000 + b"}",
    "quotes": b'"' * 1_048_576,
}


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the resident memory of a process")
def test_large_bodies_on_eight_connections_take_little_memory(client: httpx2.Client) -> None:
    def send(body: bytes) -> int:
        return client.post("/api/users", content=body, headers={"Content-Type": "application/json"}).status_code

    send(b"{}")
    before = resident_bytes(client)
    with ThreadPoolExecutor(8) as clients:
        for body in HOSTILE.values():
            assert {400, 413, 422} >= set(clients.map(send, [body] * 16))

    assert resident_bytes(client) - before < LARGE_BODIES_BYTES
