"""Assembles the ASGI applications of a service: core objects bottom up, then each feature, then routes and middleware.

Importing this module does nothing, and building touches nothing outside the process before the lifespan starts.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from starlette.applications import Starlette

from .errors import ConfigurationError
from .health import Readiness
from .http.documentation import DocumentationController, documentation_routes
from .http.operations import IdentityController, OperationsController, identity_routes, operations_routes
from .http.policies import protect
from .middleware import errors, instrumentation
from .middleware.order import require_order
from .wiring import build_core, build_parts, lifespan, working

if TYPE_CHECKING:
    from starlette.middleware import Middleware
    from starlette.routing import BaseRoute
    from starlette.types import ASGIApp

    from .service import Core, Parts, Service
    from .settings import Settings
    from .wiring import Process


class Application(Starlette):
    """A Starlette whose only middleware is the one it is given.

    Starlette adds one layer that turns unexpected exceptions into text and raises them again, and one that looks up
    exception handlers; `middleware/errors.py` does the work of both.
    """

    operations: Starlette
    """Health and metrics alone, for a listener of their own."""

    def build_middleware_stack(self) -> ASGIApp:
        app: ASGIApp = self.router
        for cls, args, kwargs in reversed(self.user_middleware):
            app = cls(app, *args, **kwargs)
        return app

    def add_exception_handler(self, exc_class_or_status_code: Any, handler: Any) -> NoReturn:
        """Raise ConfigurationError: such a handler would never be called."""
        raise ConfigurationError(
            f"add_exception_handler({exc_class_or_status_code!r}, {getattr(handler, '__name__', handler)!r}) has no "
            "effect here: give the exception a problem type by deriving it from an error of chassis.errors"
        )

    def exception_handler(self, exc_class_or_status_code: Any) -> NoReturn:
        """As `add_exception_handler`."""
        self.add_exception_handler(exc_class_or_status_code, "a handler")


def create_app(service: Service, settings: Settings, process: Process) -> Application:
    """Build *service*, nothing of which is started yet.

    Raises ConfigurationError for what its owner has to mend first: a route without a policy or a description, a
    policy that nothing can apply, a middleware out of order, an object that no feature provides.
    """
    core = build_core(service, settings, process)
    parts = build_parts(core)
    readiness = Readiness(_checks(core, parts), core.lifecycle)
    operations = operations_routes(OperationsController(readiness, core.metrics))
    layers = [layer for layer in service.middleware(core) if layer is not None]
    require_order(layers, hardened=settings.server.app_env.hardened)
    layers += [layer for part in parts for layer in part.middleware]

    routes = _routes(core, operations, parts)
    app = _application(routes, layers)
    authorizer = _authorizer(parts)
    protect(routes, authorizer, settings.server)
    app.router.lifespan_context = lifespan(
        core, parts, process, check=lambda: protect(app.routes, authorizer, settings.server)
    )
    app.operations = _application(operations, [instrumentation(core), errors(core)])
    return app


def create_worker(
    service: Service, settings: Settings, process: Process, run: Callable[[Core], Awaitable[int]]
) -> Application:
    """Build *service* to do nothing but *run*, with health and metrics; raises as `create_app`."""
    core = build_core(service, settings, process)
    parts = build_parts(core)
    readiness = Readiness(_checks(core, parts), core.lifecycle)
    routes = operations_routes(OperationsController(readiness, core.metrics))
    app = _application(routes, [instrumentation(core), errors(core)])
    app.router.lifespan_context = working(core, parts, run)
    app.operations = app
    return app


def _routes(core: Core, operations: Sequence[BaseRoute], parts: Sequence[Parts]) -> list[BaseRoute]:
    """Every route of the main listener."""
    server, service = core.settings.server, core.service
    routes: list[BaseRoute] = [
        *identity_routes(IdentityController(service.name, service.version, server.app_env)),
        *(operations if server.operations_port is None else ()),
        *(route for part in parts for route in part.routes),
    ]
    if server.docs_enabled:
        authorizer = _authorizer(parts)
        controller = DocumentationController(service, routes, authorizer.scheme if authorizer else None)
        routes += documentation_routes(controller)
    return routes


def _authorizer(parts: Sequence[Parts]) -> Any:
    found = [part.authorizer for part in parts if part.authorizer is not None]
    if len(found) > 1:
        names = ", ".join(type(each).__name__ for each in found)
        raise ConfigurationError(f"{names}: only one feature may bring an authorizer")
    return found[0] if found else None


def _checks(core: Core, parts: Sequence[Parts]) -> dict[str, Any]:
    checks: dict[str, Any] = {"database": core.database.probe}
    for part in parts:
        for name, check in part.checks.items():
            if name in checks:
                raise ConfigurationError(f"two readiness checks are called {name!r}")
            checks[name] = check
    return checks


def _application(routes: Sequence[BaseRoute], layers: Sequence[Middleware]) -> Application:
    app = Application(routes=routes, middleware=layers)
    # A redirect to the path without its slash would be built from the Host header, and hide a client's mistake;
    # `mount` redirects to its own, which a page's relative links need.
    app.router.redirect_slashes = False
    return app
