from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text

from {{ cookiecutter.package_name }}.chassis.cache import MemoryCache
from {{ cookiecutter.package_name }}.chassis.database import Database
from {{ cookiecutter.package_name }}.chassis.errors import Conflict, Invalid, NotFound
from {{ cookiecutter.package_name }}.chassis.passwords import Passwords
from {{ cookiecutter.package_name }}.chassis.shapes import ListQuery, PageQuery, new_id
from {{ cookiecutter.package_name }}.models.user import LISTS, UserChanges, UserCreate, UserOut
from {{ cookiecutter.package_name }}.services.users import Users

from .application import cheap_passwords, new_user

pytestmark = pytest.mark.anyio

UserPage, UserCursorPage, UserItems = LISTS


@pytest.fixture
async def passwords() -> AsyncIterator[Passwords]:
    cheap = cheap_passwords()
    yield cheap
    cheap.close()


@pytest.fixture
def cache() -> MemoryCache:
    return MemoryCache()


@pytest.fixture
def users(database: Database, cache: MemoryCache, passwords: Passwords) -> Users:
    return Users(database, cache, passwords)


def ada(email: str = "ada@example.com") -> UserCreate:
    return UserCreate.model_validate(new_user(email=email))


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


async def test_an_email_taken_in_another_letter_case_is_a_conflict(users: Users, database: Database) -> None:
    await users.create(ada("ada@example.com"))

    with pytest.raises(Conflict, match="e-mail"):
        await users.create(ada("ADA@example.com"))
    assert 1 == len(await stored(database, "id"))


async def test_a_change_leaves_the_other_fields(users: Users) -> None:
    created = await users.create(ada())
    changed = await users.update(created.id, changes(name="Countess"))

    assert created.model_copy(update={"name": "Countess", "updated_at": changed.updated_at, "version": 2}) == changed
    assert changed.updated_at > created.updated_at


async def test_a_changed_password_changes_the_hash(users: Users, database: Database, passwords: Passwords) -> None:
    created = await users.create(ada())
    await users.update(created.id, changes(password="battery staple"))
    (stored_hash,) = await stored(database, "password_hash")

    assert await passwords.verify("battery staple", str(stored_hash))


async def test_the_own_address_is_no_password(users: Users) -> None:
    created = await users.create(ada("lovelace@example.com"))
    for fields in ({"password": "LOVELACE"}, {"email": "adalovelace@example.com", "password": "adaLovelace"}):
        with pytest.raises(Invalid):
            await users.update(created.id, changes(**fields))

    await users.update(created.id, changes(email="ada@example.com", password="lovelace at last"))


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

    assert user_id == UserOut.model_validate_json((await users.get_json(user_id))[1]).id


async def test_a_change_is_seen_through_the_cache(users: Users) -> None:
    created = await users.create(ada())
    await users.get_json(created.id)
    await users.update(created.id, changes(name="Countess"))

    assert "Countess" == UserOut.model_validate_json((await users.get_json(created.id))[1]).name


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


async def test_the_cache_forgets_before_and_after_the_commit(database: Database, passwords: Passwords) -> None:
    """Before, in case the process dies in between; after, because a reader may have kept the old user meanwhile."""
    witness = Witness(database)
    users = Users(database, witness, passwords)
    created = await users.create(ada())
    await users.update(created.id, changes(name="Countess"))
    await users.delete(created.id)

    assert [["Ada"], ["Countess"], ["Countess"], []] == witness.seen


async def test_pages_hold_every_user_once_oldest_first(users: Users) -> None:
    created = await create_many(users, 5)
    pages = [await users.find(PageQuery(page=number, limit=2)) for number in (1, 2, 3)]

    assert created == [user for page in pages if isinstance(page, UserPage) for user in page.items]
    assert 5 == await users.count()


async def test_a_list_that_ends_with_the_page_has_no_next_cursor(users: Users) -> None:
    made = await create_many(users, 2)

    assert await users.find(PageQuery(cursor="", limit=2)) == UserCursorPage(items=made, next_cursor=None)


async def test_users_are_found_by_ids_in_the_order_asked(users: Users) -> None:
    first, second, third = await create_many(users, 3)

    asked = [third.id, new_id(), first.id, second.id]
    assert UserItems(items=[third, first, second]) == await users.find(ListQuery(ids=",".join(asked)))
