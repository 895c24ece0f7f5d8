"""The service behind a real PgBouncer in transaction mode, by one setting."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .command import Command, wait_until_ready


def test_one_setting_is_enough_for_pgbouncer(tmp_path: Path, postgresql_url: str, pgbouncer_url: str) -> None:
    with Command(tmp_path, DATABASE_URL=pgbouncer_url, DATABASE_DIRECT_URL=postgresql_url) as service:
        service.port()

        def create(number: int) -> int:
            user = {"name": "Ada", "email": f"{number}@example.org", "password": "correct horse"}
            with service.client() as client:
                return client.post("/api/users", json=user).status_code

        with ThreadPoolExecutor(8) as threads:
            assert [201] * 8 == list(threads.map(create, range(8)))
        with service.client() as client:
            assert 8 == client.get("/api/users").json()["pagination"]["total_items"]
            wait_until_ready(client)
