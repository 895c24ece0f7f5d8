"""An authorizer for bearer tokens (RFC 6750), over a service that identifies the user of a token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import structlog

from ..access import BEARER_SUBPROTOCOL
from ..errors import Forbidden, NotFound, Unauthenticated

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from starlette.requests import HTTPConnection

    from ..access import Caller, Policy

CHALLENGE = "Bearer"
"""RFC 6750, section 3."""

_log = structlog.get_logger("security")


class Authentication(Protocol):
    """Identifies the user of a token."""

    async def identify(self, token: str, client: str) -> tuple[Caller, object]:
        """The caller who presents *token* from the address *client*, and what the token says.

        Raises Unauthenticated.
        """

    def rejection(self, reason: str, client: str) -> Unauthenticated:
        """The error for a token that proves nothing, after logging the *reason*, which the client does not learn."""


class BearerAuthorizer:
    """Applies policies to the bearer of a token; what the token says is then in `connection.state.claims`.

    *hint* tells clients where they get a token.
    """

    scheme: Mapping[str, Any] = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}

    def __init__(self, authentication: Authentication, *, hint: str = "") -> None:
        self._authentication = authentication
        self._hint = f" {hint}" if hint else ""

    async def authorize(self, policy: Policy, connection: HTTPConnection) -> Caller:
        client = client_of(connection)
        given = list(_presented(connection))
        if not given:
            _log.info("access denied", user="", client=client, outcome="rejected", reason="no token")
            raise Unauthenticated(f"This needs a bearer token.{self._hint}", challenge=CHALLENGE)
        scheme, _, token = given[0].partition(" ")
        if len(given) > 1 or scheme.lower() != "bearer":
            raise self._authentication.rejection("not one bearer token", client)
        caller, claims = await self._authentication.identify(token, client)
        if not _admits(policy, caller, connection):
            _log.warning("access denied", user=caller.user_id, client=client, outcome="rejected", reason=str(policy))
            # Whether it belongs to another user or is not there at all is not for this caller to know.
            raise NotFound("Resource not found.") if policy.owner else Forbidden("Permission denied.")
        connection.state.claims = claims
        return caller


def client_of(connection: HTTPConnection) -> str:
    """The client's address, as the access line has it."""
    return connection.client.host if connection.client else ""


def _presented(connection: HTTPConnection) -> Iterator[str]:
    """Yield every credential of the request, each as the value of an Authorization field."""
    websocket = connection.scope["type"] == "websocket"
    for name, value in connection.scope["headers"]:
        if name == b"authorization":
            yield value.decode("latin-1")
        elif websocket and name == b"sec-websocket-protocol":
            offered = (part.strip() for part in value.decode("latin-1").split(","))
            yield from (
                f"Bearer {part.removeprefix(BEARER_SUBPROTOCOL)}"
                for part in offered
                if part.startswith(BEARER_SUBPROTOCOL)
            )


def _admits(policy: Policy, caller: Caller, connection: HTTPConnection) -> bool:
    if policy.owner and str(connection.path_params[policy.owner]) == caller.user_id:
        return True
    return caller.role in policy.roles if policy.roles or policy.owner else True
