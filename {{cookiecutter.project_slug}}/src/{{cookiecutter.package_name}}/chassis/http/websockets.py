"""Websocket routes with an access policy."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any

from starlette.requests import HTTPConnection
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from ..access import Policy, current_caller
from .routing import Authorizer, require_owner, required

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

WebSocketHandler = Callable[[WebSocket], Awaitable[Any]]


class PolicyWebSocketRoute(WebSocketRoute):
    """Authorizes the handshake before the handler sees it."""

    def __init__(self, path: str, handler: WebSocketHandler, *, policy: Policy, name: str) -> None:
        super().__init__(path, handler, name=name)
        self.policy = policy
        self._authorizer: Authorizer | None = None
        require_owner(policy, self.param_convertors, f"the websocket {path}")

    def policies(self) -> Iterator[tuple[str, Policy]]:
        """Yield the policy of the handshake."""
        yield "WEBSOCKET", self.policy

    def protect(self, authorizer: Authorizer | None) -> None:
        """From now on let *authorizer* decide who may connect; a public websocket does not ask it."""
        self._authorizer = authorizer

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Authorize, then let the handler answer the handshake."""
        scope["route"] = self.path
        if self.policy.public:
            await self.app(scope, receive, send)
            return
        caller = await required(self._authorizer).authorize(self.policy, HTTPConnection(scope))
        previous = current_caller.set(caller)
        try:
            await self.app(scope, receive, send)
        finally:
            current_caller.reset(previous)


def websocket(path: str, handler: WebSocketHandler, *, policy: Policy, name: str) -> PolicyWebSocketRoute:
    """Serve websockets at *path* with *handler* to the callers whom *policy* admits."""
    return PolicyWebSocketRoute(path, handler, policy=policy, name=name)
