"""Paths of identity, health and metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..access import PUBLIC
from ..shapes.operations import LIVE_PATH, METRICS_PATH, READY_PATH
from .routing import ApiRoute, allow

if TYPE_CHECKING:
    from .operations import IdentityController, OperationsController


def identity_routes(controller: IdentityController) -> list[ApiRoute]:
    """Who answers here."""
    return [ApiRoute("/", {"GET": allow(PUBLIC, controller.identity)}, name="identity")]


def operations_routes(controller: OperationsController) -> list[ApiRoute]:
    """Health and metrics: on the main listener, or on OPERATIONS_PORT alone when it is set."""
    return [
        ApiRoute(LIVE_PATH, {"GET": allow(PUBLIC, controller.live)}, name="health.live"),
        ApiRoute(READY_PATH, {"GET": allow(PUBLIC, controller.ready)}, name="health.ready"),
        ApiRoute(METRICS_PATH, {"GET": allow(PUBLIC, controller.metrics)}, name="metrics"),
    ]
