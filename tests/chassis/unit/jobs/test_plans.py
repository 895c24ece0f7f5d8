"""What it costs to ask for jobs among many that are done, as the planner of each database says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, event, text

from acme_service.chassis.database import Database
from acme_service.chassis.jobs.store import JobStore
from acme_service.models.jobs import JobRow

pytestmark = pytest.mark.anyio
ROWS = 20_000
NUMBERS = {
    "sqlite": f"WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n LIMIT {ROWS}) SELECT i FROM n",  # noqa: S608 - a number of ours
    "postgresql": f"SELECT generate_series(0, {ROWS - 1}) AS i",
}
FILL = """
INSERT INTO jobs (id, name, payload, state, attempt, created_at, ended_at, request_id, trace_id)
SELECT 'job ' || i, 'note', '{}', 'done', 1, '2026-01-01', '2026-01-01', '', '' FROM (NUMBERS) AS numbers
"""


@pytest.fixture
def statements() -> Iterator[list[tuple[str, Any]]]:
    sent: list[tuple[str, Any]] = []

    def record(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_rest: Any) -> None:
        sent.append((statement, parameters))

    event.listen(Engine, "before_cursor_execute", record)
    yield sent
    event.remove(Engine, "before_cursor_execute", record)


async def plan(database: Database, statement: str, parameters: Any) -> str:
    explain = "EXPLAIN QUERY PLAN" if database.kind == "sqlite" else "EXPLAIN"
    async with database.transaction() as session:
        connection = await session.connection()
        rows = await connection.exec_driver_sql(f"{explain} {statement}", tuple(parameters))
        found = "\n".join(str(row) for row in rows)
        await session.rollback()
    return found


async def test_no_question_that_is_asked_each_second_reads_the_jobs_that_are_done(
    database: Database, statements: list[tuple[str, Any]]
) -> None:
    store = JobStore(database, JobRow, lease_seconds=30)
    async with database.transaction() as session:
        await session.execute(text(FILL.replace("NUMBERS", NUMBERS[database.kind])))
        await session.execute(text("ANALYZE"))
    statements.clear()
    await store.next_due_exists(["note"])
    await store.claim(["note"])
    await store.unpublished()
    await store.oldest_seconds()
    asked = [(statement, parameters) for statement, parameters in statements if "jobs" in statement]

    assert 4 == len(asked)
    for statement, parameters in asked:
        found = await plan(database, statement, parameters)
        assert "ix_jobs_due_at" in found or "ix_jobs_state" in found, found
        assert "Seq Scan" not in found, found
