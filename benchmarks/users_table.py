"""What the sides that read users have in common: the rows, the size of the pool, and the cost of a password's hash.

Run in the rendered project's environment it fills the table at an address, and prints the ids as one JSON object.
"""

from __future__ import annotations

import asyncio
import json
import sys
import uuid
from base64 import urlsafe_b64encode
from datetime import UTC, datetime

POOL_SIZE = 20
"""The most connections that this service opens by default: DB_POOL_SIZE and DB_MAX_OVERFLOW together."""

ARGON2 = {"memory_cost": 19456, "time_cost": 2, "parallelism": 1}
"""As the service hashes."""


COLUMNS = ("id", "name", "email", "password_hash", "created_at", "updated_at", "version")


def cursor_after(last_id: str) -> str:
    """As the service writes it."""
    return urlsafe_b64encode(uuid.UUID(last_id).bytes).decode().rstrip("=")


async def fill(url: str, rows: int) -> list[str]:
    """Insert *rows* users and return the ids of all in order."""
    import asyncpg  # type: ignore[import-not-found]  # noqa: PLC0415 - the rest of this file needs no driver

    connection = await asyncpg.connect(url)
    now = datetime.now(UTC)
    users = [
        (f"00000000-0000-7000-8000-{number:012x}", f"User {number}", f"user{number}@example.com", "-", now, now, 1)
        for number in range(rows)
    ]
    await connection.copy_records_to_table("users", records=users, columns=COLUMNS)
    await connection.execute("VACUUM ANALYZE users")
    ids = [record["id"] for record in await connection.fetch("SELECT id FROM users ORDER BY id")]
    await connection.close()
    return ids


if __name__ == "__main__":
    print(json.dumps({"ids": asyncio.run(fill(sys.argv[1], int(sys.argv[2])))}))
