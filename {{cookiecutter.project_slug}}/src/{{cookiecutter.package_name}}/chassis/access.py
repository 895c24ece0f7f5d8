"""Access policies of routes, and the caller of the current request.

A policy is declared with the route. An authorizer, which a feature brings, identifies the caller and applies the
policy; a service without one can have public routes only.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Policy:
    """Who may call a route: anybody (`PUBLIC`), every authenticated user, those with one of *roles*, or the owner.

    *owner* names the path parameter that holds the owner's id; with it, *roles* are admitted besides.
    """

    public: bool = False
    roles: tuple[str, ...] = ()
    owner: str = ""

    def __str__(self) -> str:
        admitted = [*(("owner",) if self.owner else ()), *self.roles]
        return "public" if self.public else ", ".join(admitted) or "authenticated"


PUBLIC = Policy(public=True)
AUTHENTICATED = Policy()


def roles(*names: str) -> Policy:
    """Admit callers that have one of the roles *names*."""
    if not names:
        raise TypeError("roles() needs the name of at least one role; AUTHENTICATED admits every authenticated user")
    return Policy(roles=names)


def owner_or(parameter: str, *names: str) -> Policy:
    """Admit the user whose id is the path parameter *parameter*, and callers with one of the roles *names*."""
    return Policy(roles=names, owner=parameter)


@dataclass(frozen=True, slots=True)
class Caller:
    """The user who sent the request, and the client's address; `user_id` is empty for an anonymous one."""

    user_id: str = ""
    role: str = ""
    client: str = ""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who holds a connection that lasts, by the token that was presented on it."""

    user_id: str
    name: str
    expires_at: float
    """Of the token, in seconds since 1970."""
    login: object
    """What `Identities.live` knows it by: hashable, and another one for each login."""


class Identities:
    """What a feature that identifies callers provides for connections that outlive a request; to be derived from."""

    async def identify(self, token: str, client: str) -> Identity:
        """Who presents *token* from the address *client*; raises Unauthenticated."""
        raise NotImplementedError

    async def live(self, identities: Sequence[Identity]) -> frozenset[object]:
        """The logins of those of *identities* that still count, by one query; raises DatabaseUnavailable."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Administration:
    """What a feature that identifies callers provides for routes that are not for every one of them."""

    policy: Policy
    """Who may call what is for admins alone."""


BEARER_SUBPROTOCOL = "bearer."
"""A browser sends no Authorization with a websocket's handshake: there the token may follow this, as a subprotocol."""

ANONYMOUS = Caller()

current_caller: ContextVar[Caller] = ContextVar("current_caller", default=ANONYMOUS)
"""The caller of the request that the current task serves; anonymous on a public route."""
