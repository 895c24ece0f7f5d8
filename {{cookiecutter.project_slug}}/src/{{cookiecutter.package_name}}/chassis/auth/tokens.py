"""Signed tokens (RFC 7519): one algorithm, every claim required, a bounded life, two kinds that are never confused."""

from __future__ import annotations

import re
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jwt

from ..shapes.ids import ID_PATTERN, new_id

ALGORITHM = "HS256"
MAX_TOKEN_CHARACTERS = 2048
REQUIRED = ["iss", "aud", "sub", "iat", "exp", "jti"]
MAX_REMEMBERED = 4096
"""How many tokens are remembered as good, and how many as revoked, at half a kilobyte each."""
MAX_SKEW_SECONDS = 60
"""How far the clocks of two machines that share a key may be apart."""

_ID = re.compile(ID_PATTERN)


class TokenRejected(Exception):
    """The token proves nothing; the message says why, for the log alone."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token says: whose it is, of which login, and of which state of the account (`token_version`)."""

    user_id: str
    session_id: str
    token_version: str
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
    """Signs and reads both kinds for *issuer*. The first of *keys* signs, all of them are accepted.

    A verified access token is remembered, because checking its signature is most of what a request of an authenticated
    user would cost.
    """

    def __init__(
        self,
        keys: Sequence[str],
        *,
        issuer: str,
        access_seconds: int,
        refresh_seconds: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._keys = tuple(keys)
        self._clock = clock
        self._issuer = issuer
        self.access = Kind(issuer, access_seconds)
        self.refresh = Kind(f"{issuer}:refresh", refresh_seconds)
        self._verified: OrderedDict[str, Claims] = OrderedDict()
        self._rejected: OrderedDict[str, None] = OrderedDict()

    def sign(self, kind: Kind, *, user_id: str, session_id: str, token_version: str, token_id: str = "") -> str:
        """A token of *kind*, from now on and for its lifetime; without a *token_id* it gets a new one."""
        now = int(self._clock())
        payload = {
            "iss": self._issuer,
            "aud": kind.audience,
            "sub": user_id,
            "iat": now,
            "exp": now + kind.lifetime_seconds,
            "jti": token_id or new_id(),
            "sid": session_id,
            "token_version": token_version,
        }
        return jwt.encode(payload, self._keys[0], algorithm=ALGORITHM)

    def read_access(self, token: str) -> Claims:
        """What an access *token* says; raises TokenRejected."""
        claims = self._verified.get(token)
        if claims is None:
            if token in self._rejected:
                raise TokenRejected("revoked before")
            claims = self._verified[token] = self.read(self.access, token)
            if len(self._verified) > MAX_REMEMBERED:
                self._verified.popitem(last=False)
            return claims
        try:
            self._check_times(self.access, claims)
        except TokenRejected:
            del self._verified[token]
            raise
        return claims

    def reject(self, token: str) -> None:
        """Remember that *token* is revoked, which it stays: asking about it again costs nothing."""
        self._verified.pop(token, None)
        self._rejected[token] = None
        if len(self._rejected) > MAX_REMEMBERED:
            self._rejected.popitem(last=False)

    def read(self, kind: Kind, token: str) -> Claims:
        """What a *token* of *kind* says; raises TokenRejected."""
        if len(token) > MAX_TOKEN_CHARACTERS:
            raise TokenRejected("too long")
        claims = _claims(self._verified_payload(kind, token))
        self._check_times(kind, claims)
        return claims

    def _check_times(self, kind: Kind, claims: Claims) -> None:
        """Raise TokenRejected unless *claims* are good by the clock as it stands now: it may have been set back."""
        now = self._clock()
        if now >= claims.expires_at:
            raise TokenRejected("expired")
        if claims.issued_at > now + MAX_SKEW_SECONDS or claims.expires_at - claims.issued_at > kind.lifetime_seconds:
            raise TokenRejected("from the future, or for a longer life than ours")

    def _verified_payload(self, kind: Kind, token: str) -> dict[str, Any]:
        for key in self._keys:
            try:
                return jwt.decode(
                    token,
                    key,
                    algorithms=[ALGORITHM],
                    audience=kind.audience,
                    issuer=self._issuer,
                    # The times are checked with our own clock, and a life longer than ours is rejected.
                    options={"require": REQUIRED, "verify_exp": False, "verify_iat": False, "strict_aud": True},
                )
            except jwt.InvalidSignatureError:
                continue
            except jwt.InvalidTokenError as error:
                raise TokenRejected(type(error).__name__) from None
        raise TokenRejected("the signature is not ours")


def _claims(payload: dict[str, Any]) -> Claims:
    texts = [payload["sub"], payload.get("sid"), payload.get("token_version"), payload["jti"]]
    numbers = [payload["iat"], payload["exp"]]
    if not all(isinstance(text, str) for text in texts) or not all(type(number) is int for number in numbers):
        raise TokenRejected("a claim of another type")
    user_id, session_id, token_version, token_id = texts
    if not all(_ID.fullmatch(text) for text in (user_id, session_id, token_id)):
        raise TokenRejected("a claim that is no id of ours")
    return Claims(user_id, session_id, token_version, token_id, *numbers)
