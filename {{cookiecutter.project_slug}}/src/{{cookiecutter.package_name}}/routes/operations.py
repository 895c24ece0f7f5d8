"""Paths of identity, health and metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .table import ApiRoute

if TYPE_CHECKING:
    from ..controllers.operations import IdentityController, OperationsController


def identity_routes(controller: IdentityController) -> list[ApiRoute]:
    """Who answers here."""
    return [ApiRoute("/", {"GET": controller.identity}, name="identity")]


def operations_routes(controller: OperationsController) -> list[ApiRoute]:
    """Health and metrics: on the main listener, or on OPERATIONS_PORT alone when it is set."""
    return [
        ApiRoute("/health/live", {"GET": controller.live}, name="health.live"),
        ApiRoute("/health/ready", {"GET": controller.ready}, name="health.ready"),
        ApiRoute("/metrics", {"GET": controller.metrics}, name="metrics"),
    ]
