"""Websocket routes with an access policy.

A client presents its token in `Authorization` or, as browsers must, in the subprotocol `bearer.<token>`. A browser
fails a handshake that selects none of the subprotocols that it offered: the token's is selected for a handler that
names none, if it is the only one. Where others stand beside it, the handler selects one of those.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from ..access import Policy
from ..errors import ConfigurationError
from .admission import RECHECK_SECONDS, Admission
from .routing import Authorizer, require_owner, required

if TYPE_CHECKING:
    from starlette.endpoints import WebSocketEndpoint
    from starlette.types import Receive, Scope, Send

WebSocketHandler = Callable[[WebSocket], Awaitable[Any]]


class PolicyWebSocketRoute(WebSocketRoute):
    """Authorizes the handshake before the handler sees it, and its caller again while the websocket lasts."""

    def __init__(
        self,
        path: str,
        handler: WebSocketHandler | type[WebSocketEndpoint],
        *,
        policy: Policy,
        name: str,
        recheck_seconds: float = RECHECK_SECONDS,
    ) -> None:
        _require_async(handler, path)
        super().__init__(path, handler, name=name)
        self.policy = policy
        self._recheck_seconds = recheck_seconds
        self._authorizer: Authorizer | None = None
        require_owner(policy, self.param_convertors, f"the websocket {path}")

    def policies(self) -> Iterator[tuple[str, Policy]]:
        """Yield the policy of the handshake."""
        yield "WEBSOCKET", self.policy

    def protect(self, authorizer: Authorizer | None) -> None:
        """From now on let *authorizer* decide who may connect; a public websocket does not ask it."""
        self._authorizer = authorizer

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Authorize, then let the handler respond to the handshake."""
        scope["route"] = self.path
        if self.policy.public:
            await self.app(scope, receive, send)
            return
        admission = Admission(required(self._authorizer), self.policy, self._recheck_seconds)
        await admission.serve(self.app, scope, receive, send)


def websocket(
    path: str,
    handler: WebSocketHandler | type[WebSocketEndpoint],
    *,
    policy: Policy,
    name: str,
    recheck_seconds: float = RECHECK_SECONDS,
) -> PolicyWebSocketRoute:
    """Serve websockets at *path* with *handler* to the callers whom *policy* admits.

    Every *recheck_seconds* the authorizer is asked again; a websocket whose caller it no longer admits is closed with
    1008. Raises ConfigurationError for a *handler* that is neither a coroutine function nor a WebSocketEndpoint.
    """
    return PolicyWebSocketRoute(path, handler, policy=policy, name=name, recheck_seconds=recheck_seconds)


def _require_async(handler: object, path: str) -> None:
    function = handler
    while isinstance(function, partial):
        function = function.func
    endpoint = inspect.isclass(function) and hasattr(function, "__await__")
    if not endpoint and not inspect.iscoroutinefunction(function) and not _is_asgi(function):
        raise ConfigurationError(
            f"the handler {getattr(function, '__name__', function)!r} of the websocket {path} must be a coroutine "
            "function or a WebSocketEndpoint: write `async def`"
        )


def _is_asgi(application: object) -> bool:
    call = getattr(application, "__call__", None)  # noqa: B004 - whether it is asynchronous is what is asked
    return (
        not inspect.isfunction(application) and not inspect.isclass(application) and inspect.iscoroutinefunction(call)
    )
