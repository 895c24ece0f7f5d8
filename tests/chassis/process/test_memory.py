from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest

HASH_BYTES = 19 * 1024 * 1024
"""What one password hash works in; two are made at a time."""


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
