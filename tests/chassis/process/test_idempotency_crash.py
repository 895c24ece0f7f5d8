"""kill -9 at each moment of a request with an Idempotency-Key: the effect and its key are both there, or neither is."""

from __future__ import annotations

from pathlib import Path

import httpx2
import pytest

from .command import Command


class Effects(Command):
    service = "chassis.process.effects"


@pytest.mark.parametrize(("moment", "effects"), [("claimed", 0), ("stored", 0), ("committed", 1)])
def test_after_a_crash_the_same_request_has_its_effect_once(
    folder: Path, database_url: str, moment: str, effects: int
) -> None:
    key = {"Idempotency-Key": "key-1"}
    with (
        Effects(folder, DATABASE_URL=database_url) as service,
        service.client() as client,
        pytest.raises(httpx2.TransportError),
    ):
        client.post("/orders", json={"name": "one"}, headers={**key, "X-Die": moment})
    with Effects(folder, DATABASE_URL=database_url) as service, service.client() as client:
        assert effects == client.get("/orders").json()
        first = client.post("/orders", json={"name": "one"}, headers=key)
        again = client.post("/orders", json={"name": "one"}, headers=key)

        assert (201, 201) == (first.status_code, again.status_code)
        assert first.content == again.content
        assert bool(effects) == ("idempotency-replayed" in first.headers)
        assert 1 == client.get("/orders").json()
