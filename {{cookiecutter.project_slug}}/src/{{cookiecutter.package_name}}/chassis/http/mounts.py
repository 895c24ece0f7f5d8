"""Mounted applications and static files, with an access policy for all that lies below their path."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from starlette.requests import HTTPConnection
from starlette.responses import RedirectResponse
from starlette.routing import Match, Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles

from ..access import Policy, current_caller
from .admission import RECHECK_SECONDS, Admission
from .headers import Headers, declare, overrides
from .routing import Authorizer, count_as_stream, require_owner, required

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send


class PolicyMount(Mount):
    """Authorizes each request and websocket below its path before the mounted application sees it."""

    def __init__(  # noqa: PLR0913 - all named
        self,
        path: str,
        app: ASGIApp,
        *,
        policy: Policy,
        name: str,
        headers: Headers | None = None,
        recheck_seconds: float = RECHECK_SECONDS,
        long_poll: bool = False,
    ) -> None:
        super().__init__(path, app, name=name)
        self.policy = policy
        self._long_poll = long_poll
        self._headers = overrides(headers, f"the mount {self.path}")
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
        """As Starlette's; without its last slash the path is a partial match, so that a route of its own goes first."""
        match, child = super().matches(scope)
        if match is Match.NONE and scope["type"] == "http" and not scope["path"].endswith("/"):
            match, child = super().matches({**scope, "path": f"{scope['path']}/"})
            if match is not Match.NONE:
                return Match.PARTIAL, {"endpoint": self._redirect, "path_params": child["path_params"]}
        return match, child

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Authorize, then hand over; the label of metrics keeps the mount's prefix."""
        scope.setdefault("mounted", _Mounted(self.path, self.app, scope))
        if scope.get("endpoint") == self._redirect:
            await self._redirect(scope, receive, send)
            return
        declare(scope, self._headers)
        if self._long_poll:
            count_as_stream(scope)
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

    async def _redirect(self, scope: Scope, receive: Receive, send: Send) -> None:
        await RedirectResponse(_with_slash(scope))(scope, receive, send)


class _Mounted:
    """Where in a scope the application *app* is mounted, for the template that labels what it responds."""

    __slots__ = ("_app", "_prefix", "_root")

    def __init__(self, prefix: str, app: object, scope: Scope) -> None:
        self._prefix = prefix
        self._app = app
        self._root = scope.get("root_path", "")

    def template(self, scope: Scope) -> str:
        """The prefix, and what the application's own router has set in *scope*.

        A mount further in stands in the path with its values alone: `{path}` stands for all that has parameters, or is
        not Starlette's, so that no client can make up labels.
        """
        route, path = scope.get("route"), scope.get("root_path", "")
        between = path.removeprefix(self._root)
        known = not between or (path.startswith(self._root) and between in _literal_mounts(self._app))
        if not known or not isinstance(route, Route | WebSocketRoute):
            return f"{self._prefix}{between if known else ''}/{{path}}"
        return f"{self._prefix}{between}{route.path}"


def _literal_mounts(app: object) -> Iterator[str]:
    """Yield the paths, below *app*, of mounts that have no parameters."""
    for route in getattr(app, "routes", ()):
        if isinstance(route, Mount) and route.param_convertors.keys() == {"path"}:
            yield route.path
            yield from (route.path + inner for inner in _literal_mounts(route.app))


def mount(  # noqa: PLR0913 - all named
    path: str,
    app: ASGIApp,
    *,
    policy: Policy,
    name: str,
    headers: Headers | None = None,
    recheck_seconds: float = RECHECK_SECONDS,
    long_poll: bool = False,
) -> PolicyMount:
    """Serve the ASGI application *app* below *path* to the callers whom *policy* admits.

    *headers* of its responses replace its own and those of the chassis, or remove them where the value is None:
    `headers={"Content-Security-Policy": "default-src 'self' https://cdn.example"}`. Problem details keep theirs, and
    an error is never cached. The callers of its websockets are checked again every *recheck_seconds*, as those of
    `websocket` are. Requests of a *long_poll*, as of Socket.IO, count against MAX_STREAMS while they wait.
    """
    return PolicyMount(
        path,
        app,
        policy=policy,
        name=name,
        headers=headers,
        recheck_seconds=recheck_seconds,
        long_poll=long_poll,
    )


def static_files(  # noqa: PLR0913 - all named
    path: str, directory: Path, *, policy: Policy, name: str, html: bool = False, headers: Headers | None = None
) -> PolicyMount:
    """Serve the files in *directory* below *path*; with *html*, `index.html` stands for its folder.

    Browsers keep and revalidate them (ETag). Files whose names change with their content need no question at all:
    `headers={"Cache-Control": "public, max-age=31536000, immutable"}`. *headers* are those of `mount`.
    """
    files = StaticFiles(directory=directory, html=html)
    return PolicyMount(path, files, policy=policy, name=name, headers=headers)


def _with_slash(scope: Scope) -> str:
    """The path of the request as it was sent, and a slash; without a host, because the Host header is the client's."""
    path = scope["path"]
    sent = scope.get("raw_path")
    text = sent.decode("latin-1") if sent else quote(path)
    root = scope.get("root_path", "")
    if root and not path.startswith(root):  # a server that leaves it out of the path
        text = quote(root) + text
    query = scope.get("query_string", b"").decode("latin-1")
    return f"/{text.strip('/')}/{'?' + query if query else ''}"
