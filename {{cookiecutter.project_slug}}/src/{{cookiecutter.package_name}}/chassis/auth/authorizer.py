"""The gate of the feature `auth`: bearer tokens (RFC 6750) tell callers apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import structlog

from ..errors import Forbidden, NotFound, Unauthenticated
from ...services.auth import CHALLENGE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

    from ..access import Caller, Policy
    from ...services.auth import Authentication

_log = structlog.get_logger("security")


class BearerGate:
    """Admits whom a policy names; see `routes.table.Gate`. What the token says is then in `request.state.claims`."""

    scheme: Mapping[str, Any] = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}

    def __init__(self, authentication: Authentication) -> None:
        self._authentication = authentication

    async def admit(self, policy: Policy, request: Request) -> Caller:
        client = client_of(request)
        given = [value for name, value in request.scope["headers"] if name == b"authorization"]
        if not given:
            _log.info("access refused", user="", client=client, outcome="refused", reason="no token")
            raise Unauthenticated("This needs a token, as POST /api/auth/login answers it.", challenge=CHALLENGE)
        scheme, _, token = given[0].partition(b" ")
        if len(given) > 1 or scheme.lower() != b"bearer":
            raise self._authentication.refusal("not one bearer token", client)
        caller, claims = await self._authentication.identify(token.decode("latin-1"), client)
        if not _admits(policy, caller, request):
            _log.warning("access refused", user=caller.user_id, client=client, outcome="refused", reason=str(policy))
            # Whether it is somebody else's or not there at all is not for this caller to know.
            raise NotFound("There is nothing here for you.") if policy.owner else Forbidden("You may not do this.")
        request.state.claims = claims
        return caller


def client_of(request: Request) -> str:
    """The address that asks, as the access line has it."""
    return request.client.host if request.client else ""


def _admits(policy: Policy, caller: Caller, request: Request) -> bool:
    if policy.owner and request.path_params[policy.owner] == caller.user_id:
        return True
    return caller.role in policy.roles if policy.roles or policy.owner else True
