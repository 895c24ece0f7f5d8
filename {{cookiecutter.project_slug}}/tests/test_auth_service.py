"""What authenticated users cost, and what happens when things happen at once."""

from __future__ import annotations

import asyncio
import ipaddress
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import datetime, timedelta, tzinfo
from typing import Any

import pytest
from argon2 import PasswordHasher
from pydantic import SecretStr
from sqlalchemy import Engine, event, func, insert, select, text, update

from {{ cookiecutter.package_name }}.chassis.access import Caller, current_caller
from {{ cookiecutter.package_name }}.chassis.auth import MemoryAttempts, Tokens
from {{ cookiecutter.package_name }}.chassis.cache import MemoryCache
from {{ cookiecutter.package_name }}.chassis.database import Database, DatabaseNow
from {{ cookiecutter.package_name }}.chassis.errors import (
    Conflict,
    DatabaseUnavailable,
    Forbidden,
    Invalid,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
)
from {{ cookiecutter.package_name }}.chassis.passwords import Checked, Passwords
from {{ cookiecutter.package_name }}.models.auth import (
    Account,
    AccountChanges,
    Credentials,
    PasswordChange,
    Role,
    Session,
)
from {{ cookiecutter.package_name }}.models.user import User, UserChanges, UserCreate
from {{ cookiecutter.package_name }}.services import auth_sessions
from {{ cookiecutter.package_name }}.services.auth import BY_ACCOUNT, Authentication, attempt_limits
from {{ cookiecutter.package_name }}.services.auth_accounts import CACHE_SECONDS, COMMAND_LINE, Accounts
from {{ cookiecutter.package_name }}.services.auth_directory import Directory
from {{ cookiecutter.package_name }}.services.auth_identities import UserIdentities
from {{ cookiecutter.package_name }}.services.auth_sessions import MAX_SESSIONS, Sessions
from {{ cookiecutter.package_name }}.services.users import Users

from . import application
from .application import new_user
from .auth import payload_of

pytestmark = pytest.mark.anyio

PASSWORD = SecretStr(application.PASSWORD)
ADA = Credentials(email="ada@example.com", password=PASSWORD)


class CountedPasswords(Passwords):
    """Cheap hashes, how often one was checked, and what happens to happen meanwhile."""

    def __init__(self) -> None:
        super().__init__(memory_kib=8, iterations=1)
        self.checked: list[str] = []
        self.meanwhile: Callable[[], Awaitable[object]] | None = None

    async def hash(self, password: str) -> str:
        await self._happens()
        return await super().hash(password)

    async def check(self, password: str, hashed: str) -> Checked:
        self.checked.append(hashed)
        await self._happens()
        return await super().check(password, hashed)

    async def _happens(self) -> None:
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile:
            await meanwhile()


class World:
    """One process on the database with a cache of its own, which is warm at once; `now` is the cache's clock."""

    def __init__(self, database: Database, tokens: Tokens | None = None) -> None:
        self.database = database
        self.passwords = CountedPasswords()
        self.now = 0.0
        cache = MemoryCache(tombstone_seconds=0, clock=lambda: self.now)
        self.users = Users(database, cache, self.passwords)
        self.accounts = Accounts(database, cache)
        self.directory = Directory(database)
        self.users.watch(self.accounts)
        self.tokens = tokens or Tokens(
            [secrets.token_urlsafe(48)], issuer="tests", access_seconds=900, refresh_seconds=3600
        )
        self.authentication = Authentication(
            database=database,
            users=self.users,
            accounts=self.accounts,
            passwords=self.passwords,
            tokens=self.tokens,
            sessions=Sessions(database, self.accounts, self.tokens),
            attempts=MemoryAttempts(attempt_limits(by_account_and_address=1000, by_address=1000, requests=1000)),
        )

    async def log_in(self) -> tuple[str, str]:
        pair = await self.authentication.log_in(ADA, "10.0.0.1")
        return pair.access_token, pair.refresh_token

    async def ada(self) -> Caller:
        user_id = await self.directory.id_of("ada@example.com")
        assert user_id
        return Caller(user_id, "user")

    async def identify(self, token: str) -> Caller:
        return (await self.authentication.identify(token, "10.0.0.1"))[0]


@pytest.fixture
async def world(database: Database) -> AsyncIterator[World]:
    made = World(database)
    await made.users.create(UserCreate.model_validate(new_user()))
    yield made
    made.passwords.close()


@pytest.fixture
def statements() -> Iterator[list[str]]:
    sent: list[str] = []

    def record(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        sent.append(statement)

    event.listen(Engine, "before_cursor_execute", record)
    yield sent
    event.remove(Engine, "before_cursor_execute", record)


async def test_a_known_caller_costs_one_query_cold_and_none_warm(world: World, statements: list[str]) -> None:
    token, _ = await world.log_in()
    other = World(world.database, world.tokens)
    statements.clear()
    known = await other.identify(token)
    cold = len(statements)
    for _ in range(10):
        await other.identify(token)

    assert "user" == known.role
    assert (1, 1) == (cold, len(statements))


async def test_what_this_process_changes_counts_at_once_although_the_state_is_remembered(world: World) -> None:
    token, _ = await world.log_in()
    known = await world.identify(token)
    await world.users.update(known.user_id, UserChanges(password=SecretStr("another horse")))

    with pytest.raises(Unauthenticated):
        await world.identify(token)


async def test_what_another_process_changes_counts_after_five_seconds(world: World) -> None:
    token, _ = await world.log_in()
    other = World(world.database, world.tokens)
    known = await other.identify(token)
    await world.accounts.change(COMMAND_LINE, known.user_id, AccountChanges(active=False))
    other.now += CACHE_SECONDS - 0.1
    await other.identify(token)
    other.now += 0.1

    with pytest.raises(Unauthenticated):
        await other.identify(token)


async def test_a_connection_that_lasts_is_held_to_what_each_request_is(world: World) -> None:
    """Also by a session that began while the account was changed, and so outlived the change."""
    identities = UserIdentities(world.database, world.authentication)
    held = await identities.identify((await world.log_in())[0], "10.0.0.1")
    assert held.login in await identities.live([held])
    async with world.database.transaction() as session:
        await session.execute(insert(Account).values(user_id=held.user_id, role=Role.USER, active=False, version=0))
    assert held.login not in await identities.live([held])
    async with world.database.transaction() as session:
        await session.execute(update(Account).values(active=True))
    assert held.login in await identities.live([held])
    async with world.database.transaction() as session:
        await session.execute(update(Account).values(version=1))
    assert held.login not in await identities.live([held])


async def test_a_login_of_another_process_is_known_at_once(world: World) -> None:
    first, _ = await world.log_in()
    other = World(world.database, world.tokens)
    await other.identify(first)
    second, _ = await world.log_in()

    assert "user" == (await other.identify(second)).role


async def test_a_dead_token_costs_one_query_and_then_none(world: World, statements: list[str]) -> None:
    token, _ = await world.log_in()
    await world.accounts.change(COMMAND_LINE, (await world.ada()).user_id, AccountChanges(active=False))
    other = World(world.database, world.tokens)
    statements.clear()
    for _ in range(10):
        with pytest.raises(Unauthenticated):
            await other.identify(token)

    assert 1 == len(statements)


async def test_a_user_who_is_deleted_during_the_login_is_rejected_like_any_other(world: World) -> None:
    ada = await world.ada()
    await world.log_in()
    world.passwords.meanwhile = lambda: world.users.delete(ada.user_id)

    with pytest.raises(Unauthenticated, match=r"The e-mail or the password is wrong\."):
        await world.log_in()


async def test_a_login_renews_an_outdated_hash_and_ends_no_session(world: World) -> None:
    """Of a password that was hashed before it was composed, and with parameters of another time."""
    old, composed = "caf\u0065\u0301 au lait", "caf\u00e9 au lait"
    hashed = PasswordHasher(time_cost=2, memory_cost=8, parallelism=1).hash(old)
    async with world.database.transaction() as session:
        await session.execute(update(User).values(password_hash=hashed))
    given = Credentials(email="ada@example.com", password=SecretStr(old))
    before = (await world.authentication.log_in(given, "10.0.0.1")).access_token
    async with world.database.reading() as connection:
        renewed = (await connection.execute(select(User.password_hash))).scalar_one()

    assert renewed.startswith("$argon2id$v=19$m=8,t=1,p=1$")
    assert "user" == (await world.identify(before)).role
    for password in (old, composed):
        given = Credentials(email="ada@example.com", password=SecretStr(password))
        await world.authentication.log_in(given, "10.0.0.1")
    assert "user" == (await world.identify(before)).role
    async with world.database.reading() as connection:
        assert renewed == (await connection.execute(select(User.password_hash))).scalar_one()


async def test_a_session_outlives_the_renewal_of_its_hash(world: World) -> None:
    token, _ = await world.log_in()
    world.passwords._hasher = PasswordHasher(time_cost=2, memory_cost=8, parallelism=1)  # noqa: SLF001 - as after an update
    other, _ = await world.log_in()

    for known in (token, other):
        assert "user" == (await World(world.database, world.tokens).identify(known)).role


@pytest.mark.parametrize("email", ["ada@example.com", "nobody@example.com", "no address"])
async def test_a_password_that_is_not_composed_takes_two_checks_whoever_it_is_for(world: World, email: str) -> None:
    verified: list[str] = []
    once = world.passwords._verified  # noqa: SLF001 - each is one hash
    world.passwords._verified = lambda password, hashed: bool(verified.append(hashed)) or once(password, hashed)  # type: ignore[method-assign, func-returns-value]  # noqa: SLF001 - as above
    with pytest.raises(Unauthenticated):
        await world.authentication.log_in(Credentials(email=email, password=SecretStr("e\u0301e\u0301")), "10.0.0.1")

    assert 2 == len(verified)


async def test_of_two_new_passwords_at_once_one_is_stored(world: World) -> None:
    changes = [
        PasswordChange(current_password=PASSWORD, new_password=SecretStr(f"another horse {number}")) for number in "12"
    ]
    ada = await world.ada()
    answers = await asyncio.gather(
        *(world.authentication.change_password(ada, change) for change in changes), return_exceptions=True
    )

    assert [Invalid, type(None)] == sorted((type(answer) for answer in answers), key=lambda cls: cls.__name__)


async def test_an_admin_sets_no_password_of_who_is_promoted_meanwhile(world: World) -> None:
    ada = await world.ada()
    promotion = AccountChanges(role=Role.SUPERADMIN)
    world.passwords.meanwhile = lambda: world.accounts.change(COMMAND_LINE, ada.user_id, promotion)
    known = current_caller.set(Caller("01890000-0000-7000-8000-000000000000", "admin"))
    try:
        with pytest.raises(Forbidden):
            await world.users.update(ada.user_id, UserChanges(password=SecretStr("another horse")))
    finally:
        current_caller.reset(known)
    await world.log_in()


async def test_an_admin_waits_for_a_promotion_and_is_then_rejected(world: World) -> None:
    ada = await world.ada()
    admin = Caller("01890000-0000-7000-8000-000000000000", "admin")
    await world.accounts.change(COMMAND_LINE, ada.user_id, AccountChanges(active=True))
    async with world.database.transaction() as session:
        await session.execute(select(User.id).where(User.id == ada.user_id).with_for_update())
        await session.execute(update(Account).values(role="superadmin"))
        demotion = asyncio.ensure_future(world.accounts.change(admin, ada.user_id, AccountChanges(role=Role.USER)))
        await asyncio.sleep(0.2)

    with pytest.raises(Forbidden):
        await demotion
    assert Role.SUPERADMIN == (await world.directory.get(ada.user_id)).role


async def test_whoever_logs_in_a_hash_is_checked_once(world: World) -> None:
    await world.log_in()
    world.passwords.checked.clear()
    for email in ("ada@example.com", "nobody@example.com"):
        with pytest.raises(Unauthenticated):
            await world.authentication.log_in(Credentials(email=email, password=SecretStr("wrong")), "10.0.0.1")

    real, decoy = world.passwords.checked
    assert real != decoy
    assert real.split("$")[:4] == decoy.split("$")[:4], "a decoy of other parameters would take another time"


async def aged(world: World, seconds: float) -> None:
    """Let the last exchange of each refresh token be *seconds* ago, by the database's clock."""
    async with world.database.transaction() as session:
        now, rotated_at = (await session.execute(select(DatabaseNow(), Session.rotated_at))).one()
        assert rotated_at
        assert 0 <= (now - rotated_at).total_seconds() < 5
        await session.execute(update(Session).values(rotated_at=now - timedelta(seconds=seconds)))


async def test_two_tabs_that_refresh_at_once_get_the_same_session(world: World) -> None:
    _, refresh_token = await world.log_in()
    pairs = await asyncio.gather(*(world.authentication.refresh(refresh_token, "10.0.0.1") for _ in range(5)))

    assert 1 == len({payload_of(pair.refresh_token)["jti"] for pair in pairs})
    for pair in pairs:
        assert "user" == (await world.identify(pair.access_token)).role
    last = await world.authentication.refresh(pairs[-1].refresh_token, "10.0.0.1")
    assert "user" == (await world.identify(last.access_token)).role


@pytest.mark.parametrize("seconds", [9, 11, -11, 3600])
async def test_a_refresh_token_is_bridged_for_ten_seconds(world: World, seconds: float) -> None:
    _, first = await world.log_in()
    second = await world.authentication.refresh(first, "10.0.0.1")
    await aged(world, seconds)
    if abs(seconds) < 10:
        again = await world.authentication.refresh(first, "10.0.0.1")
        assert payload_of(second.refresh_token)["jti"] == payload_of(again.refresh_token)["jti"]
        return

    with pytest.raises(Unauthenticated):
        await world.authentication.refresh(first, "10.0.0.1")
    with pytest.raises(Unauthenticated):
        await world.identify(second.access_token)


async def test_a_refresh_token_whose_successor_was_used_ends_the_session(world: World) -> None:
    _, first = await world.log_in()
    second = await world.authentication.refresh(first, "10.0.0.1")
    third = await world.authentication.refresh(second.refresh_token, "10.0.0.1")
    with pytest.raises(Unauthenticated):
        await world.authentication.refresh(first, "10.0.0.1")

    with pytest.raises(Unauthenticated):
        await world.identify(third.access_token)


async def test_the_ten_seconds_are_those_of_the_database(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes need not agree on the time."""

    class Ahead(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Ahead:
            return super().now(tz) + timedelta(minutes=10)

    _, first = await world.log_in()
    second = await world.authentication.refresh(first, "10.0.0.1")
    with monkeypatch.context() as patched:
        patched.setattr(auth_sessions, "datetime", Ahead)
        await world.authentication.refresh(first, "10.0.0.1")
        await world.authentication.refresh(second.refresh_token, "10.0.0.1")

    assert (await world.authentication.refresh(second.refresh_token, "10.0.0.1")).access_token


async def test_a_logout_and_a_new_password_are_never_bridged(world: World) -> None:
    _, first = await world.log_in()
    second = await world.authentication.refresh(first, "10.0.0.1")
    await world.authentication.log_out((await world.authentication.identify(second.access_token, ""))[1], "10.0.0.1")
    with pytest.raises(Unauthenticated):
        await world.authentication.refresh(first, "10.0.0.1")

    _, first = await world.log_in()
    await world.authentication.refresh(first, "10.0.0.1")
    change = PasswordChange(current_password=PASSWORD, new_password=SecretStr("another horse"))
    await world.authentication.change_password(await world.ada(), change)
    with pytest.raises(Unauthenticated):
        await world.authentication.refresh(first, "10.0.0.1")


async def test_a_further_login_ends_the_oldest_session(world: World) -> None:
    first, _ = await world.log_in()
    for _ in range(MAX_SESSIONS):
        last, _ = await world.log_in()

    async with world.database.reading() as connection:
        assert MAX_SESSIONS == (await connection.execute(select(func.count()).select_from(Session))).scalar_one()
    with pytest.raises(Unauthenticated):
        await world.identify(first)
    assert "user" == (await world.identify(last)).role


async def test_expired_sessions_are_removed_by_the_next_login(world: World) -> None:
    await world.log_in()
    async with world.database.transaction() as session:
        await session.execute(text("UPDATE sessions SET expires_at = '2020-01-01 00:00:00'"))
    await world.log_in()

    async with world.database.reading() as connection:
        assert 1 == (await connection.execute(select(func.count()).select_from(Session))).scalar_one()


async def test_changes_at_once_leave_one_account_row(world: World) -> None:
    user_id = await world.directory.id_of("ADA@example.com")
    assert user_id
    changes = [AccountChanges(active=False), AccountChanges(role=Role.ADMIN), AccountChanges(active=True)]
    await asyncio.gather(*(world.accounts.change(COMMAND_LINE, user_id, change) for change in changes * 3))

    async with world.database.reading() as connection:
        [row] = (await connection.execute(select(Account.role, Account.version))).all()
    assert ("admin", 9) == (row.role, row.version)


async def test_a_deleted_user_leaves_no_account_and_no_session(world: World) -> None:
    await world.log_in()
    user_id = await world.directory.id_of("ada@example.com")
    assert user_id
    await world.accounts.change(COMMAND_LINE, user_id, AccountChanges(role=Role.ADMIN))
    await world.log_in()
    await world.users.delete(user_id)

    async with world.database.reading() as connection:
        for table in (Account, Session):
            assert 0 == (await connection.execute(select(func.count()).select_from(table))).scalar_one()


def limited(world: World, *, account: int = 1000, address: int = 1000) -> Authentication:
    attempts = MemoryAttempts(attempt_limits(by_account_and_address=account, by_address=address, requests=1000))
    world.authentication._attempts = attempts  # noqa: SLF001 - the limits alone matter
    return world.authentication


async def guess(authentication: Authentication, client: str, email: str = "ada@example.com") -> str:
    try:
        await authentication.log_in(Credentials(email=email, password=SecretStr("wrong")), client)
    except (TooManyRequests, Unauthenticated) as error:
        return type(error).__name__
    raise AssertionError


async def test_a_guess_beyond_the_limit_is_told_when_to_come_back(world: World) -> None:
    authentication = limited(world, account=1)
    assert "Unauthenticated" == await guess(authentication, "10.0.0.1")

    with pytest.raises(TooManyRequests) as caught:
        await world.log_in()
    assert caught.value.retry_after_seconds


async def test_only_wrong_guesses_are_counted(world: World) -> None:
    authentication = limited(world, account=2, address=2)
    for _ in range(5):
        await world.log_in()
    taken = UserCreate.model_validate(new_user())
    for number in range(5):
        await authentication.register(UserCreate.model_validate(new_user(f"grace{number}")), "10.0.0.1")
    for _ in range(2):
        with pytest.raises(Conflict):
            await authentication.register(taken, "10.0.0.1")

    with pytest.raises(TooManyRequests):
        await world.log_in()


@pytest.mark.parametrize("error", [Unavailable("busy"), DatabaseUnavailable("lost"), asyncio.CancelledError()])
async def test_a_guess_of_which_nothing_became_is_given_back(world: World, error: BaseException) -> None:
    authentication = limited(world, account=1)

    async def fail() -> None:
        raise error

    for _ in range(3):
        world.passwords.meanwhile = fail
        with pytest.raises(type(error)):
            await world.log_in()
    assert "Unauthenticated" == await guess(authentication, "10.0.0.1")


async def test_many_guesses_at_once_are_counted_before_one_is_looked_at(world: World) -> None:
    authentication = limited(world, account=5)
    answers = await asyncio.gather(*(guess(authentication, "10.0.0.1") for _ in range(20)))

    assert (5, 15) == (answers.count("Unauthenticated"), answers.count("TooManyRequests"))


@pytest.mark.parametrize(("bits", "guesses"), [(64, 2), (56, 8), (48, 32), (32, 40)])
async def test_a_network_of_ipv6_has_the_guesses_of_its_size(world: World, bits: int, guesses: int) -> None:
    """For one account 2, 8 and 32, whichever of its smaller networks they come from; 20 from all addresses together."""
    authentication = limited(world, account=2, address=1000)
    authentication._attempts = MemoryAttempts(  # noqa: SLF001 - without the limit of the account
        attempt_limits(by_account_and_address=2, by_address=1000, requests=1000) | {BY_ACCOUNT: 1000}
    )
    first = int(ipaddress.IPv6Address("2001:db8::"))
    clients = [str(ipaddress.IPv6Address(first + number * ((1 << 128 - bits) // 40))) for number in range(40)]
    answers = [await guess(authentication, client) for client in clients]

    assert guesses == answers.count("Unauthenticated")


async def test_strangers_do_not_lock_out_an_owner_who_is_logged_in_at_home(world: World) -> None:
    """Fifty guesses from everywhere stop all but those networks; there the smaller limit goes on."""
    authentication = limited(world, account=2)
    await world.log_in()
    await authentication.log_in(ADA, "2001:db8::1")
    answers = [await guess(authentication, f"203.0.113.{number}") for number in range(21)]
    assert ["TooManyRequests"] == answers[20:]

    for home in ("10.0.0.1", "::ffff:10.0.0.1", "2001:db8::2"):
        await authentication.log_in(ADA, home)
    for stranger in ("10.0.0.2", "2001:db8:0:1::1"):
        assert "TooManyRequests" == await guess(authentication, stranger)
    assert ["Unauthenticated"] * 2 + ["TooManyRequests"] == [await guess(authentication, "10.0.0.1") for _ in range(3)]


@pytest.mark.parametrize("end", ["logout", "expiry", "password", "reset", "deactivation"])
async def test_a_session_that_has_ended_spares_nothing(world: World, end: str) -> None:
    authentication = limited(world, account=1)
    token, _ = await world.log_in()
    ada = await world.ada()
    new = SecretStr("another horse")
    if end == "logout":
        await authentication.log_out((await authentication.identify(token, ""))[1], "10.0.0.1")
    elif end == "expiry":
        async with world.database.transaction() as session:
            await session.execute(text("UPDATE sessions SET expires_at = '2020-01-01 00:00:00'"))
    elif end == "password":
        await authentication.change_password(ada, PasswordChange(current_password=PASSWORD, new_password=new))
    elif end == "reset":
        await world.users.update(ada.user_id, UserChanges(password=new))
    else:
        await world.accounts.change(COMMAND_LINE, ada.user_id, AccountChanges(active=False))
    for number in range(10):
        await guess(authentication, f"203.0.113.{number}")

    assert "TooManyRequests" == await guess(authentication, "10.0.0.1")


async def test_a_session_follows_its_user_to_another_network(world: World) -> None:
    authentication = limited(world, account=1)
    _, token = await world.log_in()
    await authentication.refresh(token, "198.51.100.7")
    for number in range(10):
        await guess(authentication, f"203.0.113.{number}")

    assert ["TooManyRequests", "Unauthenticated"] == [
        await guess(authentication, client) for client in ("10.0.0.1", "198.51.100.7")
    ]
