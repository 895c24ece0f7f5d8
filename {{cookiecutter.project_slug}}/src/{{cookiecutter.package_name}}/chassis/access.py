"""Who may call a route, as its declaration says, and who is asking.

Routes declare a policy. What tells callers apart is a gate, which a feature may bring; without one, everybody is
anonymous and every route is public.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network

ADMIN_ROLES = ("admin", "superadmin")


@dataclass(frozen=True, slots=True)
class Policy:
    """Everybody, if it is `PUBLIC`; else every known caller, or only those with one of *roles*, or the owner.

    *owner* names the part of the path that holds the owner's id; with it, *roles* are admitted besides.
    """

    public: bool = False
    roles: tuple[str, ...] = ()
    owner: str = ""

    def __str__(self) -> str:
        admitted = [*(("owner",) if self.owner else ()), *self.roles]
        return "public" if self.public else ", ".join(admitted) or "authenticated"


PUBLIC = Policy(public=True)
AUTHENTICATED = Policy()
ADMINS = Policy(roles=ADMIN_ROLES)


def owner_or_admins(parameter: str) -> Policy:
    """Admit the one whose id the path holds as *parameter*, and admins."""
    return Policy(roles=ADMIN_ROLES, owner=parameter)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is asking, and from which address; nobody that we know if `user_id` is empty."""

    user_id: str = ""
    role: str = ""
    client: str = ""


ANONYMOUS = Caller()

caller: ContextVar[Caller] = ContextVar("caller", default=ANONYMOUS)
"""Who asked for what the current task does, while a route that is not public is answered."""


def subscriber(address: str) -> str:
    """Whose requests are counted together: an address, of IPv6 the network of 64 bits that it lies in.

    That is the least that one subscriber has (RFC 6177). What is no address, as a proxy may forward, stands for itself.
    """
    if ":" not in address:
        return address
    try:
        parsed = IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    return str(parsed.ipv4_mapped or IPv6Network((parsed, 64), strict=False).network_address)
