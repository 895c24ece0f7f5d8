"""The endpoints for operations: the service's identity, liveness, readiness and metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from starlette.responses import Response

from ..access import PUBLIC
from ..errors import NotReady
from ..metrics import CONTENT_TYPE as METRICS_CONTENT_TYPE
from ..metrics import SharedExposition
from ..shapes.operations import LIVE_PATH, METRICS_PATH, READY_PATH, Health, ServiceIdentity
from .describe import describe
from .routing import ApiRoute, allow

if TYPE_CHECKING:
    from starlette.requests import Request

    from ..health import Readiness
    from ..metrics import Metrics


def identity_routes(controller: IdentityController) -> list[ApiRoute]:
    """The path that names the service."""
    return [ApiRoute("/", {"GET": allow(PUBLIC, controller.identity)}, name="identity")]


def operations_routes(controller: OperationsController) -> list[ApiRoute]:
    """Health and metrics: on the main listener, or on OPERATIONS_PORT alone when it is set."""
    return [
        ApiRoute(LIVE_PATH, {"GET": allow(PUBLIC, controller.live)}, name="health.live"),
        ApiRoute(READY_PATH, {"GET": allow(PUBLIC, controller.ready)}, name="health.ready"),
        ApiRoute(METRICS_PATH, {"GET": allow(PUBLIC, controller.metrics)}, name="metrics"),
    ]


class IdentityController:
    """The handler of `GET /`."""

    def __init__(self, service: str, version: str, environment: str) -> None:
        identity = ServiceIdentity(service=service, version=version, environment=environment)
        self._body = identity.model_dump_json().encode()

    @describe(
        summary="Name the service",
        description="Which service this is, in which version and environment.",
        responses={200: ServiceIdentity},
        tags=["operations"],
    )
    async def identity(self, _request: Request) -> Response:
        return Response(self._body, media_type="application/json")


class OperationsController:
    """Handlers of probes and scrapes; why a check fails stands in the log, not in the public body."""

    def __init__(self, readiness: Readiness, metrics: Metrics) -> None:
        self._readiness = readiness
        self._exposition = SharedExposition(metrics.exposition)

    @describe(
        summary="Tell whether the process is alive",
        description="Checks nothing outside the process: a failing dependency is no reason to restart it.",
        responses={200: Health},
        tags=["operations"],
    )
    async def live(self, _request: Request) -> Response:
        return _health("alive")

    @describe(
        summary="Tell whether to send requests here",
        description="Checks the dependencies; 503 while one of them fails, while starting, and from the first signal.",
        responses={200: Health},
        problems=[503],
        tags=["operations"],
    )
    async def ready(self, _request: Request) -> Response:
        if await self._readiness.check():
            return _health("ready")
        raise NotReady

    @describe(
        summary="Report the process's metrics",
        description="Prometheus text format, version 0.0.4.",
        responses={200: str},
        tags=["operations"],
    )
    async def metrics(self, _request: Request) -> Response:
        return Response(await self._exposition(), media_type=METRICS_CONTENT_TYPE)


def _health(status: Literal["alive", "ready"]) -> Response:
    return Response(Health(status=status).model_dump_json().encode(), media_type="application/json")
