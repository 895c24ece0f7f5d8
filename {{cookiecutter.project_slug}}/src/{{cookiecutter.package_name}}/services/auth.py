"""Who is asking: registration, logins and what follows from them, each logged once to `security`."""

from __future__ import annotations

import hashlib
import secrets
from datetime import UTC, datetime
from math import ceil
from typing import TYPE_CHECKING

import structlog
from sqlalchemy import bindparam, delete, exc, select, update

from ..chassis.access import Caller
from ..chassis.auth import CHALLENGE, Claims, Count, TokenRejected, counts_of, guess
from ..chassis.errors import Conflict, FieldError, Invalid, TooManyRequests, Unauthenticated
from ..chassis.rate_limits import report_limit
from ..chassis.shapes import canonical_email, is_own_email
from ..models.auth import Account, Credentials, PasswordChange, Session, TokenPair
from ..models.user import User, UserCreate, UserOut
from .auth_accounts import token_version_of
from .users import password_is_own_email

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..chassis.auth import Attempts, Reservation, Tokens
    from ..chassis.database import AnyRow, Database
    from ..chassis.passwords import Passwords
    from .auth_accounts import Accounts, AccountState
    from .auth_sessions import Sessions
    from .users import Users

REQUESTS, BY_ADDRESS, BY_ACCOUNT, BY_BOTH = "requests", "address", "account", "account and address"
"""What is counted: every request of an address, and wrong guesses, by three things."""

INVALID_TOKEN = 'Bearer error="invalid_token"'  # noqa: S105 - the name of an error
"""RFC 6750, section 3."""

_BY_EMAIL = (
    select(User.id, User.password_hash, Account.active, Account.version)
    .outerjoin(Account, Account.user_id == User.id)
    .where(User.email == bindparam("email"))
)
_BY_ID = select(User.password_hash, User.email).where(User.id == bindparam("user_id"))

_log = structlog.get_logger("security")


def attempt_limits(*, by_account_and_address: int, by_address: int, requests: int) -> dict[str, int]:
    """How often one may try in a minute, by kind.

    All addresses together may try one account ten times as often as each: guessing from many stays slow, and no
    single address can lock the owner out.
    """
    return {
        REQUESTS: requests,
        BY_ADDRESS: by_address,
        BY_BOTH: by_account_and_address,
        BY_ACCOUNT: 10 * by_account_and_address,
    }


class Authentication:
    """Raises Unauthenticated, TooManyRequests, DatabaseUnavailable, and Unavailable when attempts cannot be counted.

    *client* is the address that asks.
    """

    def __init__(  # noqa: PLR0913 - one collaborator each
        self,
        *,
        database: Database,
        users: Users,
        accounts: Accounts,
        passwords: Passwords,
        tokens: Tokens,
        sessions: Sessions,
        attempts: Attempts,
    ) -> None:
        self._database = database
        self._users = users
        self._accounts = accounts
        self._passwords = passwords
        self._tokens = tokens
        self._sessions = sessions
        self._attempts = attempts
        self._decoy = ""

    async def count_request(self, client: str) -> None:
        """Count a request to a route that takes a credential, before its body is read."""
        await self._reserve(counts_of(REQUESTS, client), client)

    async def register(self, new: UserCreate, client: str) -> UserOut:
        """The new user, who may log in at once; Conflict if the e-mail is taken, which is counted as a guess."""
        reserved = await self._reserve(counts_of(BY_ADDRESS, client), client)
        async with guess(self._attempts, reserved, wrong=Conflict):
            user = await self._users.create(new)
        _log.info("registered", user=user.id, client=client, outcome="ok")
        return user

    async def log_in(self, credentials: Credentials, client: str) -> TokenPair:
        """A new session of the user with these credentials.

        An unknown e-mail, one that is no address, a wrong password and a deactivated account get the same response,
        after the same time.
        """
        email = canonical_email(credentials.email) or _digest(credentials.email)
        of_account = counts_of(BY_BOTH, client, email)
        counts = [*counts_of(BY_ADDRESS, client), *of_account, Count(BY_ACCOUNT, email)]
        async with guess(self._attempts, await self._reserve(counts, client), wrong=Unauthenticated):
            row, token_version = await self._with_password(email, credentials.password.get_secret_value(), client)
        await self._attempts.forget(of_account)
        try:
            pair = await self._sessions.begin(row.id, token_version, client)
        except exc.IntegrityError:
            raise _login_rejected(row.id, client, "deleted meanwhile") from None
        _log.info("login", user=row.id, client=client, outcome="ok")
        return pair

    async def _with_password(self, email: str, password: str, client: str) -> tuple[AnyRow, str]:
        """The user of *email* whose *password* this is, and the token version; raises Unauthenticated."""
        row = await self._database.fetch_one(_BY_EMAIL, {"email": email})
        # The first login of a process makes the decoy, for any user; its time tells nothing.
        decoy = await self._decoy_hash()
        checked = await self._passwords.check(password, row.password_hash if row else decoy)
        if row is None or not checked.matches or row.active is False:
            reason = "unknown e-mail" if row is None else "deactivated" if checked.matches else "wrong password"
            raise _login_rejected(row.id if row else "", client, reason)
        hashed = row.password_hash
        if checked.outdated:
            renewed = await self._passwords.renew(password, hashed)
            hashed = renewed if await self._replace_hash(row.id, hashed, renewed) else hashed
        return row, token_version_of(hashed, row.version or 0)

    async def refresh(self, token: str, client: str) -> TokenPair:
        """A pair for the newest refresh token of a session, or the one before it; an older use ends the session."""
        try:
            claims = self._tokens.read(self._tokens.refresh, token)
        except TokenRejected as error:
            raise self.rejection(str(error), client) from None
        state = await self._accounts.present_state(claims.user_id)
        if reason := _revocation(claims, state):
            raise self.rejection(reason, client, user=claims.user_id)
        rotation = await self._sessions.rotate(claims, client)
        if rotation is None:
            await self._sessions.end(claims)
            _log.warning("token reused", user=claims.user_id, client=client, outcome="session ended")
            raise Unauthenticated("The token is not accepted.", challenge=INVALID_TOKEN)
        if rotation.bridged:
            _log.info("token bridged", user=claims.user_id, client=client, outcome="ok")
        return rotation.pair

    async def log_out(self, claims: Claims, client: str) -> None:
        """End the session: its tokens are rejected from the next request on."""
        await self._sessions.end(claims)
        _log.info("logout", user=claims.user_id, client=client, outcome="ok")

    async def change_password(self, caller: Caller, change: PasswordChange) -> None:
        """Set a new password, which ends every session of the user; Invalid if the present one is wrong.

        Of two changes at once the second finds another password than the one that it knows.
        """
        user_id, client = caller.user_id, caller.client
        row = await self._database.fetch_one(_BY_ID, {"user_id": user_id})
        if row is not None and is_own_email(change.new_password, row.email):
            raise password_is_own_email("/new_password")
        seen = row.password_hash if row else ""
        reserved = await self._reserve(counts_of(BY_BOTH, client, user_id), client, user=user_id)
        async with guess(self._attempts, reserved, wrong=Invalid):
            known = await self._passwords.verify(change.current_password.get_secret_value(), seen)
            new = await self._passwords.hash(change.new_password.get_secret_value()) if known else ""
            if not known or not await self._replace_hash(user_id, seen, new, ends_sessions=True):
                _log.warning("password change rejected", user=user_id, client=client, outcome="rejected")
                wrong = FieldError("/current_password", "is not the present password")
                raise Invalid("The body is wrong.", (wrong,))
        _log.warning("password changed", user=user_id, client=client, outcome="changed")

    async def _replace_hash(self, user_id: str, seen: str, new: str, *, ends_sessions: bool = False) -> bool:
        """Store the hash *new*, unless there is another one than was *seen*; whether it was stored."""
        statement = (
            update(User)
            .where(User.id == user_id, User.password_hash == seen)
            .values(password_hash=new, updated_at=datetime.now(UTC))
            .returning(User.id)
        )
        await self._users.forget(user_id)
        try:
            async with self._database.transaction() as session:
                replaced = (await session.execute(statement)).first() is not None
                if replaced and ends_sessions:
                    await session.execute(delete(Session).where(Session.user_id == user_id))
                return replaced
        finally:
            await self._users.forget(user_id)

    async def identify(self, token: str, client: str) -> tuple[Caller, Claims]:
        """Who brought the access *token*, and what it says; raises Unauthenticated."""
        try:
            claims = self._tokens.read_access(token)
        except TokenRejected as error:
            raise self.rejection(str(error), client) from None
        state, fresh = await self._accounts.state(claims.user_id)
        if _revocation(claims, state) and not fresh:
            # What is remembered may be older than the token: ask before turning away who has just logged in.
            state = await self._accounts.present_state(claims.user_id)
        if reason := _revocation(claims, state):
            self._tokens.reject(token)
            raise self.rejection(reason, client, user=claims.user_id)
        assert state is not None  # noqa: S101 - a token of no state is revoked
        return Caller(claims.user_id, state.role, client), claims

    def rejection(self, reason: str, client: str, *, user: str = "") -> Unauthenticated:
        """What to raise for a token that proves nothing, after logging it; the client does not learn the *reason*."""
        _log.warning("access denied", user=user, client=client, outcome="rejected", reason=reason)
        return Unauthenticated("The token is not accepted.", challenge=INVALID_TOKEN)

    async def _reserve(self, counts: Sequence[Count], client: str, *, user: str = "") -> Reservation:
        """Count an attempt. Raises TooManyRequests, and Unavailable.

        Strangers that guess from everywhere do not lock an owner out: the limit across all addresses is not for one
        that a live session of the account was last used from. The other limits are.
        """
        reserved = await self._attempts.reserve(counts)
        if reserved.exceeded == BY_ACCOUNT and await self._is_known_network(counts[-1].key, client):
            reserved = await self._attempts.reserve(counts[:-1])
        if reserved.exceeded:
            report_limit(reserved.exceeded, client, user=user)
            raise TooManyRequests("Too many attempts.", retry_after_seconds=ceil(reserved.seconds))
        return reserved

    async def _is_known_network(self, email: str, client: str) -> bool:
        row = await self._database.fetch_one(_BY_EMAIL, {"email": email})
        return row is not None and await self._sessions.has_live(row.id, client)

    async def _decoy_hash(self) -> str:
        """The hash of no password, for an unknown user: checking it takes as long as checking a real one."""
        if not self._decoy:
            self._decoy = await self._passwords.hash(secrets.token_urlsafe(16))
        return self._decoy


def _digest(text: str) -> str:
    """What attempts with a *text* that is no address, and may be long, are counted under; no user has it."""
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _login_rejected(user_id: str, client: str, reason: str) -> Unauthenticated:
    """What to raise, after logging it; the client does not learn the *reason*."""
    _log.warning("login failed", user=user_id, client=client, outcome="rejected", reason=reason)
    return Unauthenticated("The e-mail or the password is wrong.", challenge=CHALLENGE)


def _revocation(claims: Claims, state: AccountState | None) -> str:
    """Why the token of *claims* counts no more; empty if it does."""
    if state is None:
        return "the user is gone"
    if not state.active:
        return "the account is deactivated"
    if claims.token_version != state.token_version:
        return "issued before a change of password, role or activity"
    if claims.session_id not in state.sessions:
        return "the session has ended"
    return ""
