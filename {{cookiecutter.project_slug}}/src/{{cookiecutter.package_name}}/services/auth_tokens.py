"""Signed tokens (RFC 7519): one algorithm, every claim required, a bounded life, two kinds that are never confused."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jwt

from .. import SERVICE_NAME
from ..models.auth import MAX_TOKEN_CHARACTERS
from ..models.database import new_id

ALGORITHM = "HS256"
REQUIRED = ["iss", "aud", "sub", "iat", "exp", "jti"]
MAX_VERIFIED = 4096
"""How many tokens are remembered as verified, at half a kilobyte each."""


class TokenRefused(Exception):
    """The token proves nothing; the message says why, for the log alone."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token says: whose it is, of which login, and of which state of the account (`stamp`)."""

    user_id: str
    session_id: str
    stamp: str
    token_id: str
    expires_at: int
    """Whole seconds since 1970."""


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
            claims = self._verified[token] = self.read(self.access, token)
            if len(self._verified) > MAX_VERIFIED:
                self._verified.popitem(last=False)
        elif claims.expires_at <= self._clock():
            del self._verified[token]
            raise TokenRefused("expired")
        return claims

    def read(self, kind: Kind, token: str) -> Claims:
        """What a *token* of *kind* says; raises TokenRefused."""
        if len(token) > MAX_TOKEN_CHARACTERS:
            raise TokenRefused("too long")
        claims = _claims(self._verified_payload(kind, token))
        if not self._clock() < claims.expires_at <= self._clock() + kind.lifetime_seconds + 1:
            raise TokenRefused("expired, or from a time that is not ours")
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
    if not all(isinstance(text, str) for text in texts) or type(payload["exp"]) is not int:
        raise TokenRefused("a claim of another type")
    user_id, session_id, stamp, token_id = texts
    return Claims(user_id, session_id, stamp, token_id, payload["exp"])
