"""What every route must have before the service starts: a policy that can be applied, and a description."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from starlette.routing import Mount, Route, Router, WebSocketRoute

from ..access import Policy
from ..errors import ConfigurationError
from .describe import Operation
from .routing import ApiRoute, Authorizer

if TYPE_CHECKING:
    from ..settings import ServerSettings

ADVICE = {
    Mount: "mount({path!r}, app, policy=POLICY, name=...)",
    WebSocketRoute: "websocket({path!r}, endpoint, policy=POLICY, name=...)",
    Route: 'ApiRoute({path!r}, {{"GET": allow(POLICY, handler)}}, name=...)',
}


@runtime_checkable
class ProtectedRoute(Protocol):
    """A route that declares its policies and can be held to them."""

    path: str
    name: str

    def policies(self) -> Iterator[tuple[str, Policy]]: ...

    def protect(self, authorizer: Authorizer | None) -> None: ...


def protect(routes: Iterable[object], authorizer: Authorizer | None, server: ServerSettings) -> None:
    """Hold each of *routes* to its policy.

    Raises ConfigurationError for a route without a policy or a description, for one that is not public if there is no
    *authorizer*, and in staging and production for a mounted application that shows its errors to clients.
    """
    for route in routes:
        if not isinstance(route, ProtectedRoute):
            raise ConfigurationError(_without_policy(route))
        for method, policy in route.policies():
            if authorizer is None and not policy.public:
                raise ConfigurationError(
                    f"{method} {route.path} is for {policy}, but no feature brings an authorizer, which identifies "
                    "callers: list one in features/__init__.py, or declare the route with PUBLIC to open it to everyone"
                )
        _require_description(route)
        if server.app_env.hardened:
            _reject_debug(route)
        route.protect(authorizer)


def _without_policy(route: object) -> str:
    path = getattr(route, "path", "")
    example = next((text for kind, text in ADVICE.items() if isinstance(route, kind)), ADVICE[Route])
    return (
        f"{type(route).__name__} {path or route!r} has no access policy: return it from a feature's `build` in "
        f"Parts(routes=...), written as chassis.http.{example.format(path=path)}"
    )


def _require_description(route: ProtectedRoute) -> None:
    if not isinstance(route, ApiRoute):
        return
    for method, endpoint in route.endpoints.items():
        if not isinstance(getattr(endpoint.handler, "operation", None), Operation):
            raise ConfigurationError(f"{method} {route.path} has no description: put @describe(...) on its handler")


def _reject_debug(route: ProtectedRoute) -> None:
    if not isinstance(route, Mount):
        return
    for path, app in _applications(route.path, route.app):
        if getattr(app, "debug", False) is True:
            raise ConfigurationError(
                f"the application mounted at {path} has debug on, which shows its code and values to clients: "
                "write debug=False"
            )


def _applications(path: str, app: object) -> Iterator[tuple[str, object]]:
    """Yield *app*, what its middleware wraps and what it mounts, each with the template of its path."""
    yield path, app
    for route in getattr(app, "routes", ()):
        if isinstance(route, Mount):
            yield from _applications(path + route.path, route.app)
    if not isinstance(app, Router) and (wrapped := getattr(app, "app", None)) is not None:
        yield from _applications(path, wrapped)
