"""What the lists and look-ups cost on 100,000 users, as the planner of each database says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, event, text

from {{ cookiecutter.package_name }}.chassis.cache import MemoryCache
from {{ cookiecutter.package_name }}.chassis.database import Database
from {{ cookiecutter.package_name }}.chassis.shapes import ListQuery, PageQuery, cursor_after
from {{ cookiecutter.package_name }}.models.user import User, UserCreate, UserCursorPage, UserPage, UserSearch
from {{ cookiecutter.package_name }}.services.users import LISTING, Users

from .application import cheap_passwords, new_user

pytestmark = pytest.mark.anyio

MAX_LIMIT = 100
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


async def fill(database: Database, users: Users) -> None:
    """Copy one user 100,000 times, in every column but those that have to differ."""
    sample = await users.create(UserCreate.model_validate(new_user()))
    columns = [column.name for column in User.__table__.columns]
    different = {column.name: f"'{column.name}' || i" for column in User.__table__.columns if column.unique}
    different["name"] = "'name' || i"
    values = different | {"id": ID[database.kind]}
    async with database.transaction() as session:
        await session.execute(
            text(
                f"INSERT INTO users ({', '.join(columns)})"  # noqa: S608 - from the tables above
                f" SELECT {', '.join(values.get(name, f'users.{name}') for name in columns)}"
                f" FROM users, ({NUMBERS[database.kind]}) AS numbers"
            )
        )
        await session.execute(text("DELETE FROM users WHERE id = :id"), {"id": sample.id})
        await session.execute(text("ANALYZE"))


async def plan(database: Database, statement: str, parameters: Any) -> str:
    explain = "EXPLAIN QUERY PLAN" if database.kind == "sqlite" else "EXPLAIN"
    async with database.reading() as connection:
        rows = await connection.exec_driver_sql(f"{explain} {statement}", parameters)
        return "\n".join(str(row[-1]) for row in rows)


async def test_order_cursor_and_lookups_use_an_index(database: Database, statements: list[tuple[str, Any]]) -> None:
    users = Users(database, MemoryCache(), cheap_passwords())
    await fill(database, users)
    statements.clear()
    await users.get(user_id(500))
    await users.find(PageQuery(cursor=cursor_after(user_id(ROWS // 2))))
    await users.find(ListQuery(ids=",".join(user_id(number) for number in range(MAX_LIMIT))))
    async with database.reading() as connection:
        await connection.execute(text("SELECT id FROM users WHERE email = 'email500'"))
    by_key = len(statements)
    await users.find(PageQuery(cursor=""))
    page = await users.find(PageQuery(page=3))
    assert isinstance(page, UserPage)
    del statements[-1]  # it counts every row; its plan is looked at below

    assert (ROWS, user_id(40)) == (page.pagination.total_items, page.items[0].id)
    assert (4, 5) == (by_key, len(statements))
    for number, (statement, parameters) in enumerate(statements[:]):
        plan_of_it = await plan(database, statement, parameters)
        expected = BY_KEY[database.kind] if number < by_key else IN_ORDER[database.kind]
        assert expected in plan_of_it, f"{statement}\n{plan_of_it}"
        assert not any(word in plan_of_it for word in SORTED), f"{statement}\n{plan_of_it}"


WAYS = [
    *[{"sort": sort} for sort in ("created_at", "-created_at", "name", "-name")],
    {"name": "name500"},
    {"email": "email500@example.org"},
]
DECLARED = {"sqlite": "USING INDEX ", "postgresql": "Index Scan"}


async def test_every_order_and_filter_uses_an_index(database: Database, statements: list[tuple[str, Any]]) -> None:
    users = Users(database, MemoryCache(), cheap_passwords())
    await fill(database, users)
    for way in WAYS:
        statements.clear()
        first = await users.find(UserSearch.model_validate({**way, "cursor": ""}))
        assert isinstance(first, UserCursorPage)
        if first.next_cursor:
            await users.find(UserSearch(cursor=first.next_cursor))
        await users.find(UserSearch.model_validate(way))
        for statement, parameters in statements[:]:
            plan_of_it = await plan(database, statement, parameters)
            assert DECLARED[database.kind] in plan_of_it, f"{statement}\n{plan_of_it}"
            if "count" not in statement and "email" not in way:  # which look at every row, and at one
                assert not any(word in plan_of_it for word in SORTED), f"{statement}\n{plan_of_it}"


def test_what_lists_declare_has_an_index() -> None:
    assert [] == [*LISTING.without_index()], "add Index(None, column, key) to the model, and a migration"


async def test_users_by_ids_are_one_query(database: Database, statements: list[tuple[str, Any]]) -> None:
    users = Users(database, MemoryCache(), cheap_passwords())
    await database.ping()
    statements.clear()
    await users.find(ListQuery(ids=",".join(user_id(number) for number in range(MAX_LIMIT))))

    assert 1 == len(statements)
