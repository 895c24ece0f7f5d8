"""Signed tokens (RFC 7519): one algorithm, every claim required, a bounded life, two kinds that are never confused."""

from __future__ import annotations

import re
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jwt

from ... import SERVICE_NAME
from ...models.auth import MAX_TOKEN_CHARACTERS
from ..database.types import ID_PATTERN, new_id

ALGORITHM = "HS256"
REQUIRED = ["iss", "aud", "sub", "iat", "exp", "jti"]
MAX_REMEMBERED = 4096
"""How many tokens are remembered as good, and how many as dead, at half a kilobyte each."""
MAX_SKEW_SECONDS = 60
"""How far the clocks of two machines that share a key may be apart."""

_ID = re.compile(ID_PATTERN)


class TokenRefused(Exception):
    """The token proves nothing; the message says why, for the log alone."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token says: whose it is, of which login, and of which state of the account (`stamp`)."""

    user_id: str
    session_id: str
    stamp: str
    token_id: str
    issued_at: int
    """Whole seconds since 1970, as the next."""
    expires_at: int


@dataclass(frozen=True, slots=True)
class Kind:
    """Access tokens and refresh tokens differ in their audience, so that neither passes for the other."""

    audience: str
    lifetime_seconds: int


class Tokens:
    """Signs and reads both kinds. The first of *keys* signs, all of them are accepted.

    A verified access token is remembered, because checking its signature is most of what a request of a known caller
    would cost.
    """

    def __init__(
        self,
        keys: Sequence[str],
        *,
        access_seconds: int,
        refresh_seconds: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._keys = tuple(keys)
        self._clock = clock
        self.access = Kind(SERVICE_NAME, access_seconds)
        self.refresh = Kind(f"{SERVICE_NAME}:refresh", refresh_seconds)
        self._verified: OrderedDict[str, Claims] = OrderedDict()
        self._buried: OrderedDict[str, None] = OrderedDict()

    def sign(self, kind: Kind, *, user_id: str, session_id: str, stamp: str, token_id: str = "") -> str:
        """A token of *kind*, from now on and for its lifetime; without a *token_id* it gets a new one."""
        now = int(self._clock())
        payload = {
            "iss": SERVICE_NAME,
            "aud": kind.audience,
            "sub": user_id,
            "iat": now,
            "exp": now + kind.lifetime_seconds,
            "jti": token_id or new_id(),
            "sid": session_id,
            "stamp": stamp,
        }
        return jwt.encode(payload, self._keys[0], algorithm=ALGORITHM)

    def read_access(self, token: str) -> Claims:
        """What an access *token* says; raises TokenRefused."""
        claims = self._verified.get(token)
        if claims is None:
            if token in self._buried:
                raise TokenRefused("dead before")
            claims = self._verified[token] = self.read(self.access, token)
            if len(self._verified) > MAX_REMEMBERED:
                self._verified.popitem(last=False)
        elif claims.expires_at <= self._clock():
            del self._verified[token]
            raise TokenRefused("expired")
        return claims

    def bury(self, token: str) -> None:
        """Remember that *token* is dead, which it stays: asking about it again costs nothing."""
        self._verified.pop(token, None)
        self._buried[token] = None
        if len(self._buried) > MAX_REMEMBERED:
            self._buried.popitem(last=False)

    def read(self, kind: Kind, token: str) -> Claims:
        """What a *token* of *kind* says; raises TokenRefused."""
        if len(token) > MAX_TOKEN_CHARACTERS:
            raise TokenRefused("too long")
        claims = _claims(self._verified_payload(kind, token))
        now = self._clock()
        if now >= claims.expires_at:
            raise TokenRefused("expired")
        if claims.issued_at > now + MAX_SKEW_SECONDS or claims.expires_at - claims.issued_at > kind.lifetime_seconds:
            raise TokenRefused("from the future, or for a longer life than ours")
        return claims

    def _verified_payload(self, kind: Kind, token: str) -> dict[str, Any]:
        for key in self._keys:
            try:
                return jwt.decode(
                    token,
                    key,
                    algorithms=[ALGORITHM],
                    audience=kind.audience,
                    issuer=SERVICE_NAME,
                    # The times are checked with our own clock, and a life longer than ours is refused.
                    options={"require": REQUIRED, "verify_exp": False, "verify_iat": False, "strict_aud": True},
                )
            except jwt.InvalidSignatureError:
                continue
            except jwt.InvalidTokenError as error:
                raise TokenRefused(type(error).__name__) from None
        raise TokenRefused("the signature is not ours")


def _claims(payload: dict[str, Any]) -> Claims:
    texts = [payload["sub"], payload.get("sid"), payload.get("stamp"), payload["jti"]]
    numbers = [payload["iat"], payload["exp"]]
    if not all(isinstance(text, str) for text in texts) or not all(type(number) is int for number in numbers):
        raise TokenRefused("a claim of another type")
    user_id, session_id, stamp, token_id = texts
    if not all(_ID.fullmatch(text) for text in (user_id, session_id, token_id)):
        raise TokenRefused("a claim that is no id of ours")
    return Claims(user_id, session_id, stamp, token_id, *numbers)
