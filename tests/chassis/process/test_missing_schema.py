"""The start is refused by name where the database lacks what the chassis needs, though its revision is current."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from sqlalchemy import text

from acme_service.chassis.database import Database

from .command import Command

SLACK_SECONDS = 20


def _alter(url: str, *statements: str) -> None:
    async def run() -> None:
        database = Database(url)
        async with database.transaction() as session:
            for statement in statements:
                await session.execute(text(statement))
        await database.close()

    asyncio.run(run())


@pytest.fixture
def altered_database_url(empty_database_url: str) -> str:
    """A database that no other test uses, at the newest revision."""
    from acme_service.chassis.database.migrations.runner import migrated  # noqa: PLC0415 - it loads Alembic

    from ..databases import SCHEMA  # noqa: PLC0415 - as above

    asyncio.run(migrated(empty_database_url, SCHEMA))
    return empty_database_url


@pytest.mark.parametrize("app_env", ["development", "production"])
@pytest.mark.parametrize(
    ("statements", "lacking"),
    [
        (["DROP TABLE idempotency_keys"], "table idempotency_keys"),
        (["ALTER TABLE users DROP COLUMN version"], "column users.version"),
        (
            ["ALTER TABLE idempotency_keys DROP COLUMN body", "ALTER TABLE users DROP COLUMN version"],
            "column idempotency_keys.body, column users.version",
        ),
    ],
)
def test_a_missing_table_or_column_of_the_chassis_is_named(
    tmp_path: Path, altered_database_url: str, statements: list[str], lacking: str, app_env: str
) -> None:
    _alter(altered_database_url, *statements)
    variables = {"DATABASE_URL": altered_database_url, "APP_ENV": app_env, "ALLOWED_HOSTS": "example.org"}
    with Command(tmp_path, **variables) as service:
        service.signalled_at = time.monotonic()
        line = service.line("start-up failed")

        assert 3 == service.exit_code(SLACK_SECONDS)
    assert f"the database lacks what the chassis needs: {lacking}" == line["cause"]
    assert "makemigration" in line["hint"]
    assert "exception" not in line
