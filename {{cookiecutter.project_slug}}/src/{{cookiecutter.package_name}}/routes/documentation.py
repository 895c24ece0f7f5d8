"""Paths of the API's description; the page's own parts stand below it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .table import ApiRoute

if TYPE_CHECKING:
    from ..controllers.documentation import DocumentationController


def documentation_routes(controller: DocumentationController) -> list[ApiRoute]:
    """The document, the page that shows it, and what the page loads."""
    return [
        ApiRoute("/openapi.json", {"GET": controller.openapi}, name="openapi"),
        ApiRoute("/docs", {"GET": controller.page}, name="docs"),
        ApiRoute("/docs/assets/{edition}/{name}", {"GET": controller.asset}, name="docs.asset"),
    ]
