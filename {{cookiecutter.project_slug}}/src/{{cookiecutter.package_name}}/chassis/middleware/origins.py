"""Which web pages may open websockets: a browser lets every page try, and no CORS rule stops it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.types import Scope

_SCHEMES = {"ws": "http", "wss": "https", "http": "http", "https": "https"}
_PORTS = {"http": ":80", "https": ":443"}


class OriginList:
    """*origins* as CORS_ORIGINS has them, `*` for every one, and the service's own besides."""

    def __init__(self, origins: Iterable[str]) -> None:
        self._origins = frozenset(origins)

    def rejection(self, scope: Scope) -> str:
        """Why the websocket of *scope* may not be opened; empty if it may, as without an Origin: no browser sent it."""
        given = [value for name, value in scope["headers"] if name == b"origin"]
        if not given or "*" in self._origins:
            return ""
        origin = given[0].decode("latin-1").lower()
        if len(given) == 1 and (origin in self._origins or origin == _own(scope)):
            return ""
        return f"The origin {origin!r} is neither {_own(scope)!r} nor one of CORS_ORIGINS."


def _own(scope: Scope) -> str:
    """The origin of the service's own pages, as a browser spells it: without the scheme's own port."""
    host = next((value for name, value in scope["headers"] if name == b"host"), b"").decode("latin-1").lower()
    scheme = _SCHEMES.get(scope["scheme"], "http")
    return f"{scheme}://{host.removesuffix(_PORTS[scheme])}"
