"""Mounted applications and static files, with an access policy for all that lies below their path."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.datastructures import URL
from starlette.requests import HTTPConnection
from starlette.responses import RedirectResponse
from starlette.routing import Match, Mount
from starlette.staticfiles import StaticFiles

from ..access import Policy, current_caller
from .admission import RECHECK_SECONDS, Admission
from .routing import Authorizer, require_owner, required

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send


class PolicyMount(Mount):
    """Authorizes each request and websocket below its path before the mounted application sees it."""

    def __init__(
        self, path: str, app: ASGIApp, *, policy: Policy, name: str, recheck_seconds: float = RECHECK_SECONDS
    ) -> None:
        super().__init__(path, app, name=name)
        self.policy = policy
        self._recheck_seconds = recheck_seconds
        self._authorizer: Authorizer | None = None
        require_owner(policy, self.param_convertors, f"the mount {self.path}")

    def policies(self) -> Iterator[tuple[str, Policy]]:
        """Yield the policy of all methods below the path."""
        yield "MOUNT", self.policy

    def protect(self, authorizer: Authorizer | None) -> None:
        """From now on let *authorizer* decide who is served; a public mount does not ask it."""
        self._authorizer = authorizer

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """As Starlette's; the path without its last slash is ours too, to redirect it."""
        match, child = super().matches(scope)
        if match is Match.NONE and scope["type"] == "http" and not scope["path"].endswith("/"):
            match, child = super().matches({**scope, "path": f"{scope['path']}/"})
            child = {} if match is Match.NONE else {"endpoint": self.app, "path_params": child["path_params"]}
            child |= {} if match is Match.NONE else {"mount_redirect": True}
        return match, child

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Authorize, then hand over; the label of metrics keeps the mount's prefix."""
        scope["route_prefix"] = scope.get("route_prefix", "") + self.path
        scope["route"] = "/{path}"
        if scope.pop("mount_redirect", False):
            await RedirectResponse(_with_slash(scope))(scope, receive, send)
            return
        if self.policy.public:
            await super().handle(scope, receive, send)
            return
        authorizer = required(self._authorizer)
        if scope["type"] == "websocket":
            admission = Admission(authorizer, self.policy, self._recheck_seconds)
            await admission.serve(super().handle, scope, receive, send)
            return
        previous = current_caller.set(await authorizer.authorize(self.policy, HTTPConnection(scope)))
        try:
            await super().handle(scope, receive, send)
        finally:
            current_caller.reset(previous)


def mount(
    path: str, app: ASGIApp, *, policy: Policy, name: str, recheck_seconds: float = RECHECK_SECONDS
) -> PolicyMount:
    """Serve the ASGI application *app* below *path* to the callers whom *policy* admits.

    The callers of its websockets are checked again every *recheck_seconds*, as those of `websocket` are.
    """
    return PolicyMount(path, app, policy=policy, name=name, recheck_seconds=recheck_seconds)


def static_files(path: str, directory: Path, *, policy: Policy, name: str, html: bool = False) -> PolicyMount:
    """Serve the files in *directory* below *path*; with *html*, `index.html` stands for its folder."""
    return PolicyMount(path, StaticFiles(directory=directory, html=html), policy=policy, name=name)


def _with_slash(scope: Scope) -> str:
    """The same path with a slash at its end, without a host: the Host header is the client's."""
    url = URL(scope=scope)
    path = url.path if url.path.endswith("/") else f"{url.path}/"
    return f"{'/' + path.lstrip('/')}{'?' + url.query if url.query else ''}"
