"""Paths of identity, health and metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..models.operations import LIVE_PATH, METRICS_PATH, READY_PATH
from .table import ApiRoute

if TYPE_CHECKING:
    from ..controllers.operations import IdentityController, OperationsController


def identity_routes(controller: IdentityController) -> list[ApiRoute]:
    """Who answers here."""
    return [ApiRoute("/", {"GET": controller.identity}, name="identity")]


def operations_routes(controller: OperationsController) -> list[ApiRoute]:
    """Health and metrics: on the main listener, or on OPERATIONS_PORT alone when it is set."""
    return [
        ApiRoute(LIVE_PATH, {"GET": controller.live}, name="health.live"),
        ApiRoute(READY_PATH, {"GET": controller.ready}, name="health.ready"),
        ApiRoute(METRICS_PATH, {"GET": controller.metrics}, name="metrics"),
    ]
