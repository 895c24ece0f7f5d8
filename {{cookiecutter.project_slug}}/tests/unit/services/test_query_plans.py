"""What the lists and look-ups cost on 100,000 users, told by each database's own planner."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, event, text

from {{ cookiecutter.package_name }}.chassis.shapes.page import MAX_LIMIT
from {{ cookiecutter.package_name }}.chassis.cache.memory import MemoryCache
from {{ cookiecutter.package_name }}.chassis.database.database import Database
from {{ cookiecutter.package_name }}.chassis.passwords import Passwords
from {{ cookiecutter.package_name }}.services.users import Users

pytestmark = pytest.mark.anyio

ROWS = 100_000
NUMBERS = {
    "sqlite": f"WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n LIMIT {ROWS}) SELECT i FROM n",  # noqa: S608 - a number of ours
    "postgresql": f"SELECT generate_series(0, {ROWS - 1}) AS i",
}
ID = {"sqlite": "printf('%08x-0000-7000-8000-000000000000', i)"}
ID["postgresql"] = "lpad(to_hex(i), 8, '0') || '-0000-7000-8000-000000000000'"

# The words of each planner: straight to the rows of a key, along the index, and by sorting what was read.
BY_KEY = {"sqlite": "SEARCH users USING", "postgresql": "Index Cond"}
IN_ORDER = {"sqlite": "SCAN users USING INDEX", "postgresql": "Index Scan using pk_users"}
SORTED = ("TEMP B-TREE", "Sort", "Seq Scan")


def user_id(number: int) -> str:
    return f"{number:08x}-0000-7000-8000-000000000000"


@pytest.fixture
def statements() -> Iterator[list[tuple[str, Any]]]:
    """Every statement that is sent to a database, with its parameters."""
    sent: list[tuple[str, Any]] = []

    def record(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_rest: Any) -> None:
        sent.append((statement, parameters))

    event.listen(Engine, "before_cursor_execute", record)
    yield sent
    event.remove(Engine, "before_cursor_execute", record)


async def fill(database: Database) -> None:
    async with database.transaction() as session:
        await session.execute(
            text(
                "INSERT INTO users (id, name, email, password_hash, created_at, updated_at)"  # noqa: S608 - from the tables above
                f" SELECT {ID[database.kind]}, 'name', 'user' || i || '@example.com', '', '2026-01-01', '2026-01-01'"
                f" FROM ({NUMBERS[database.kind]}) AS numbers"
            )
        )
        await session.execute(text("ANALYZE"))


async def plan(database: Database, statement: str, parameters: Any) -> str:
    explain = "EXPLAIN QUERY PLAN" if database.kind == "sqlite" else "EXPLAIN"
    async with database.reading() as connection:
        rows = await connection.exec_driver_sql(f"{explain} {statement}", parameters)
        return "\n".join(str(row[-1]) for row in rows)


async def test_order_cursor_and_lookups_use_an_index(database: Database, statements: list[tuple[str, Any]]) -> None:
    await fill(database)
    users = Users(database, MemoryCache(), Passwords(memory_kib=8, iterations=1))
    statements.clear()
    await users.get(user_id(500))
    await users.after(user_id(ROWS // 2), limit=20)
    await users.by_ids([user_id(number) for number in range(MAX_LIMIT)])
    async with database.reading() as connection:
        await connection.execute(text("SELECT id FROM users WHERE email = 'user500@example.com'"))
    by_key = len(statements)
    await users.after(None, limit=20)
    page = await users.page(page=3, limit=20)
    del statements[-2]  # the count, which has to look at every row

    assert (ROWS, user_id(40)) == (page.pagination.total_items, page.items[0].id)
    assert (4, 6) == (by_key, len(statements))
    for number, (statement, parameters) in enumerate(statements[:]):
        told = await plan(database, statement, parameters)
        expected = BY_KEY[database.kind] if number < by_key else IN_ORDER[database.kind]
        assert expected in told, f"{statement}\n{told}"
        assert not any(word in told for word in SORTED), f"{statement}\n{told}"


async def test_users_by_ids_are_one_query(database: Database, statements: list[tuple[str, Any]]) -> None:
    users = Users(database, MemoryCache(), Passwords(memory_kib=8, iterations=1))
    await database.ping()
    statements.clear()
    await users.by_ids([user_id(number) for number in range(MAX_LIMIT)])

    assert 1 == len(statements)
