from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text

from {{ cookiecutter.package_name }}.chassis.errors import Conflict, DatabaseUnavailable, NotFound
from {{ cookiecutter.package_name }}.chassis.database.types import new_id
from {{ cookiecutter.package_name }}.chassis.shapes.page import id_at
from {{ cookiecutter.package_name }}.models.user import UserChanges, UserCreate, UserOut
from {{ cookiecutter.package_name }}.chassis.cache.memory import MemoryCache
from {{ cookiecutter.package_name }}.chassis.database.database import Database
from {{ cookiecutter.package_name }}.chassis.passwords import Passwords
from {{ cookiecutter.package_name }}.services.users import Users

pytestmark = pytest.mark.anyio


@pytest.fixture
async def passwords() -> AsyncIterator[Passwords]:
    cheap = Passwords(memory_kib=8, iterations=1)
    yield cheap
    cheap.close()


@pytest.fixture
def cache() -> MemoryCache:
    return MemoryCache()


@pytest.fixture
def users(database: Database, cache: MemoryCache, passwords: Passwords) -> Users:
    return Users(database, cache, passwords)


def ada(email: str = "ada@example.com", name: str = "Ada") -> UserCreate:
    return UserCreate.model_validate({"name": name, "email": email, "password": "correct horse"})


def changes(**fields: str) -> UserChanges:
    return UserChanges.model_validate(fields)


async def create_many(users: Users, count: int) -> list[UserOut]:
    return [await users.create(ada(f"user{number}@example.com")) for number in range(count)]


async def stored(database: Database, column: str) -> list[object]:
    async with database.reading() as connection:
        return list((await connection.execute(text(f"SELECT {column} FROM users"))).scalars())  # noqa: S608 - our own column


async def test_a_created_user_can_be_read(users: Users) -> None:
    created = await users.create(ada())

    assert created == await users.get(created.id)


async def test_only_an_argon2id_hash_of_the_password_is_stored(users: Users, database: Database) -> None:
    await users.create(ada())
    (stored_hash,) = await stored(database, "password_hash")

    assert str(stored_hash).startswith("$argon2id$")


async def test_an_email_is_stored_in_lower_case(users: Users) -> None:
    created = await users.create(ada("Ada@Example.COM"))

    assert "ada@example.com" == (await users.get(created.id)).email


async def test_an_email_taken_in_another_letter_case_is_a_conflict(users: Users, database: Database) -> None:
    await users.create(ada("ada@example.com"))

    with pytest.raises(Conflict, match="e-mail"):
        await users.create(ada("ADA@example.com"))
    assert 1 == len(await stored(database, "id"))


async def test_of_twenty_concurrent_creations_with_one_email_one_succeeds(users: Users) -> None:
    results = await asyncio.gather(*(users.create(ada("ada@EXAMPLE.com")) for _ in range(20)), return_exceptions=True)

    assert 1 == sum(isinstance(result, UserOut) for result in results)
    assert 19 == sum(isinstance(result, Conflict) for result in results)


async def test_a_change_leaves_the_other_fields(users: Users) -> None:
    created = await users.create(ada())
    changed = await users.update(created.id, changes(name="Countess"))

    assert created.model_copy(update={"name": "Countess", "updated_at": changed.updated_at}) == changed
    assert changed.updated_at > created.updated_at


async def test_a_changed_password_changes_the_hash(users: Users, database: Database, passwords: Passwords) -> None:
    created = await users.create(ada())
    await users.update(created.id, changes(password="battery staple"))
    (stored_hash,) = await stored(database, "password_hash")

    assert await passwords.verify("battery staple", str(stored_hash))


async def test_changing_to_a_taken_email_is_a_conflict(users: Users) -> None:
    await users.create(ada("taken@example.com"))
    created = await users.create(ada())

    with pytest.raises(Conflict):
        await users.update(created.id, changes(email="TAKEN@example.com"))


async def test_concurrent_changes_of_different_fields_all_last(users: Users) -> None:
    created = await users.create(ada())
    await asyncio.gather(
        users.update(created.id, changes(name="Countess")),
        users.update(created.id, changes(email="countess@example.com")),
    )

    changed = await users.get(created.id)
    assert ("Countess", "countess@example.com") == (changed.name, changed.email)


async def test_a_deleted_user_is_gone(users: Users) -> None:
    created = await users.create(ada())
    await users.delete(created.id)

    with pytest.raises(NotFound):
        await users.get(created.id)


@pytest.mark.parametrize("method", ["get", "get_json", "delete"])
async def test_a_missing_user_is_not_found(users: Users, method: str) -> None:
    with pytest.raises(NotFound):
        await getattr(users, method)(new_id())


async def test_changing_a_missing_user_is_not_found(users: Users) -> None:
    with pytest.raises(NotFound):
        await users.update(new_id(), changes(name="Nobody"))


async def test_a_second_read_is_answered_from_the_cache(users: Users, cache: MemoryCache) -> None:
    created = await users.create(ada())

    assert await users.get_json(created.id) == await users.get_json(created.id)
    assert (1, 1) == (cache.stats.hits, cache.stats.misses)


async def test_a_missing_user_is_not_remembered_as_missing(users: Users, database: Database) -> None:
    user_id = new_id()
    with pytest.raises(NotFound):
        await users.get_json(user_id)
    created = await users.create(ada())
    async with database.transaction() as session:
        await session.execute(text("UPDATE users SET id = :new WHERE id = :old"), {"new": user_id, "old": created.id})

    assert user_id == UserOut.model_validate_json(await users.get_json(user_id)).id


async def test_a_change_is_seen_through_the_cache(users: Users) -> None:
    created = await users.create(ada())
    await users.get_json(created.id)
    await users.update(created.id, changes(name="Countess"))

    assert "Countess" == UserOut.model_validate_json(await users.get_json(created.id)).name


async def test_a_deletion_is_seen_through_the_cache(users: Users) -> None:
    created = await users.create(ada())
    await users.get_json(created.id)
    await users.delete(created.id)

    with pytest.raises(NotFound):
        await users.get_json(created.id)


class Witness(MemoryCache):
    """Notes what is stored whenever it is told to forget."""

    def __init__(self, database: Database) -> None:
        super().__init__()
        self._database = database
        self.seen: list[list[object]] = []

    async def invalidate(self, key: str) -> None:
        self.seen.append(await stored(self._database, "name"))
        await super().invalidate(key)


async def test_the_cache_is_told_to_forget_before_and_after_the_commit(
    database: Database, passwords: Passwords
) -> None:
    """Before, in case the process dies in between; after, because a reader may have kept the old user meanwhile."""
    witness = Witness(database)
    users = Users(database, witness, passwords)
    created = await users.create(ada())
    await users.update(created.id, changes(name="Countess"))
    await users.delete(created.id)

    assert [["Ada"], ["Countess"], ["Countess"], []] == witness.seen


async def test_pages_hold_every_user_once_oldest_first(users: Users) -> None:
    created = await create_many(users, 5)
    pages = [await users.page(page=number, limit=2) for number in (1, 2, 3)]

    assert created == [user for page in pages for user in page.items]


@pytest.mark.parametrize(
    ("page", "has_next", "has_prev"), [(1, True, False), (2, True, True), (3, False, True), (4, False, True)]
)
async def test_a_page_knows_its_neighbours(users: Users, page: int, *, has_next: bool, has_prev: bool) -> None:
    await create_many(users, 5)
    expected = {
        "page": page,
        "limit": 2,
        "total_items": 5,
        "total_pages": 3,
        "has_next": has_next,
        "has_prev": has_prev,
    }

    assert expected == (await users.page(page=page, limit=2)).pagination.model_dump()


async def test_an_empty_list_has_no_pages(users: Users) -> None:
    empty = await users.page(page=1, limit=20)

    assert ([], 0, 0) == (empty.items, empty.pagination.total_items, empty.pagination.total_pages)


async def test_following_cursors_meets_every_user_once(users: Users) -> None:
    created = await create_many(users, 5)
    met: list[UserOut] = []
    last_id: str | None = None
    while True:
        page = await users.after(last_id, limit=2)
        met += page.items
        if page.next_cursor is None:
            break
        last_id = id_at(page.next_cursor)

    assert created == met


async def test_a_list_that_ends_with_the_page_has_no_next_cursor(users: Users) -> None:
    await create_many(users, 2)

    assert (await users.after(None, limit=2)).next_cursor is None


async def test_users_are_found_by_ids_in_the_order_asked(users: Users) -> None:
    first, second, third = await create_many(users, 3)

    found = await users.by_ids([third.id, new_id(), first.id, second.id])
    assert [third, first, second] == found.items


async def test_a_failed_transaction_leaves_nothing(database: Database, users: Users) -> None:
    created = await users.create(ada())

    async def fail_halfway() -> None:
        async with database.transaction() as session:
            await session.execute(text("UPDATE users SET name = 'changed'"))
            await session.execute(text("DELETE FROM users"))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail_halfway()

    assert created == await users.get(created.id)


async def test_a_lost_database_is_told_apart_from_a_conflict(passwords: Passwords) -> None:
    lost = Database("sqlite:////proc/nothing/here.db")
    with pytest.raises(DatabaseUnavailable):
        await Users(lost, MemoryCache(), passwords).create(ada())
    await lost.close()
    # The driver's thread still answers to this event loop, although nobody waits for it.
    async with asyncio.timeout(10):
        while any("_connection_worker_thread" in thread.name for thread in threading.enumerate()):
            await asyncio.sleep(0.01)
