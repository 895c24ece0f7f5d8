"""What has to end without a request: tokens that expired or were revoked, and sessions that never connected."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable

import structlog

from ..access import Identities, Identity
from ..errors import ServiceError, Unauthenticated
from ..lifecycle import Lifecycle
from .connections import Connection, Connections
from .link import Link

LIVENESS_SECONDS = 3.0
ASKED_AT_ONCE = 1000
"""How many identities one query names."""
IDLE_SECONDS = 10.0
"""So long may a session be without a connection to the chat."""
STEP_SECONDS = 0.1
SPREAD = 0.9
"""Of the drain delay, so that the last client has moved before it ends."""

_log = structlog.get_logger("chassis.chat")


class Sweep:
    """Ends what is over, with *end* for a connection and *close* for a session."""

    def __init__(
        self,
        connections: Connections,
        *,
        links: Callable[[], Iterable[Link]],
        identities: Identities | None,
        end: Callable[[Connection, ServiceError], Awaitable[None]],
        close: Callable[[Link], Awaitable[None]],
    ) -> None:
        self._connections = connections
        self._links = links
        self._identities = identities
        self._end = end
        self._close = close

    async def sweep(self) -> None:
        """Look at everything once; call it every LIVENESS_SECONDS."""
        now = time.monotonic()
        for link in list(self._links()):
            if link.idle_since is not None and now - link.idle_since > IDLE_SECONDS:
                _log.info("session given up", reason="it never connected to the chat", client=link.client)
                await self._close(link)
        if self._identities is not None:
            await self._check(self._identities)

    async def _check(self, identities: Identities) -> None:
        """One query for all users of this process, or for each ASKED_AT_ONCE of them."""
        held = [(each, each.identity) for each in self._connections if each.identity is not None]
        now = time.time()
        for connection in [each for each, identity in held if identity.expires_at <= now]:
            await self._end(connection, _over("The token has expired: send authenticate before that."))
        held = [(each, identity) for each, identity in held if identity.expires_at > now]
        for start in range(0, len(held), ASKED_AT_ONCE):
            part = held[start : start + ASKED_AT_ONCE]
            for connection in await _dead(identities, part):
                await self._end(connection, _over("The token is not accepted any more."))


async def _dead(identities: Identities, held: list[tuple[Connection, Identity]]) -> list[Connection]:
    try:
        live = await identities.live([identity for _, identity in held])
    except ServiceError as error:
        _log.warning("liveness unknown", reason=error.detail)
        return []  # nothing is known against anyone
    # One that has presented another token meanwhile is looked at the next time.
    return [each for each, identity in held if identity.login not in live and each.identity is identity]


def _over(detail: str) -> Unauthenticated:
    return Unauthenticated(detail, challenge="Bearer")


async def move_clients(
    lifecycle: Lifecycle,
    seconds: float,
    *,
    links: Callable[[], Iterable[Link]],
    close: Callable[[Link], Awaitable[None]],
) -> None:
    """When the process begins to drain, close its sessions one after the other, spread over *seconds*."""
    await lifecycle.wait_until_draining()
    waiting = list(links())
    steps = max(1, int(seconds * SPREAD / STEP_SECONDS))
    _log.info("chat draining", sessions=len(waiting), spread_seconds=round(steps * STEP_SECONDS, 1))
    for step in range(steps):
        for link in waiting[step * len(waiting) // steps : (step + 1) * len(waiting) // steps]:
            await close(link)
        await asyncio.sleep(STEP_SECONDS)
    for link in list(links()):  # upgraded to a websocket meanwhile
        await close(link)
