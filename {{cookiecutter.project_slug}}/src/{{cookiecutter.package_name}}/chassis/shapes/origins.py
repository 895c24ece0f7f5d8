"""Which web pages may open websockets and sessions: a browser lets every page try, and no CORS rule stops it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

_SCHEMES = {"ws": "http", "wss": "https", "http": "http", "https": "https"}
_PORTS = {"http": ":80", "https": ":443"}


class OriginList:
    """*origins* as CORS_ORIGINS has them, `*` for every one, and the service's own besides."""

    def __init__(self, origins: Iterable[str]) -> None:
        self._origins = frozenset(origins)

    def rejection(self, scope: Mapping[str, Any]) -> str:
        """Why the websocket or request of *scope* is rejected; empty if it is not, as without an Origin of a page."""
        given = [value for name, value in scope["headers"] if name == b"origin"]
        if not given or "*" in self._origins:
            return ""
        origin = given[0].decode("latin-1").lower()
        if len(given) == 1 and (origin in self._origins or origin == _own(scope)):
            return ""
        return f"The origin {origin!r} is neither {_own(scope)!r} nor one of CORS_ORIGINS."


def _own(scope: Mapping[str, Any]) -> str:
    """The origin of the service's own pages, as a browser spells it: without the scheme's own port."""
    host = next((value for name, value in scope["headers"] if name == b"host"), b"").decode("latin-1").lower()
    scheme = _SCHEMES.get(scope["scheme"], "http")
    return f"{scheme}://{host.removesuffix(_PORTS[scheme])}"
