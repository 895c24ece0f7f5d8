"""Paths of the API's description; the page's own parts stand below it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..access import PUBLIC
from .routing import ApiRoute, allow

if TYPE_CHECKING:
    from .documentation import DocumentationController


def documentation_routes(controller: DocumentationController) -> list[ApiRoute]:
    """The document, the page that shows it, and what the page loads."""
    return [
        ApiRoute("/openapi.json", {"GET": allow(PUBLIC, controller.openapi)}, name="openapi"),
        ApiRoute("/docs", {"GET": allow(PUBLIC, controller.page)}, name="docs"),
        ApiRoute("/docs/assets/{edition}/{name}", {"GET": allow(PUBLIC, controller.asset)}, name="docs.asset"),
    ]
