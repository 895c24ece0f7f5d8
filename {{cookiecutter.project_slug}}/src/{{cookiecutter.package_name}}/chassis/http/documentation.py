"""The API's description, for machines and for people; its page asks no host but this one for anything."""

from __future__ import annotations

import asyncio
import hashlib
from html import escape
from typing import TYPE_CHECKING, Any

from openapi_ui_bundles import swagger_ui
from starlette.responses import FileResponse, Response

from ..access import PUBLIC
from ..errors import NotFound
from ..shapes.operations import OpenApiDocument
from .describe import describe
from .openapi import openapi_document
from .routing import ApiRoute, allow

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from starlette.requests import Request
    from starlette.routing import BaseRoute

    from ..service import Service

_TAGS = ["documentation"]

START_SCRIPT = b"""\
window.ui = SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  presets: [SwaggerUIBundle.presets.apis],
  validatorUrl: null,
});
"""

ASSETS = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon-32x32.png": "image/png",
}

PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" type="image/png" href="docs/assets/{edition}/favicon-32x32.png">
<link rel="stylesheet" href="docs/assets/{edition}/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="docs/assets/{edition}/swagger-ui-bundle.js"></script>
<script src="docs/assets/{edition}/start.js"></script>
</body>
</html>
"""

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; "  # icons inside the style sheet
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def documentation_routes(controller: DocumentationController) -> list[ApiRoute]:
    """The document, the page that shows it, and what the page loads."""
    return [
        ApiRoute("/openapi.json", {"GET": allow(PUBLIC, controller.openapi)}, name="openapi"),
        ApiRoute("/docs", {"GET": allow(PUBLIC, controller.page)}, name="docs"),
        ApiRoute("/docs/assets/{edition}/{name}", {"GET": allow(PUBLIC, controller.asset)}, name="docs.asset"),
    ]


class DocumentationController:
    """Describes the *routes* of *service*, its own included; the document is built when it is first asked for.

    *scheme* is how callers authenticate, if any have to.
    """

    def __init__(self, service: Service, routes: Sequence[BaseRoute], scheme: Mapping[str, Any] | None = None) -> None:
        self._service = service
        self._routes = routes
        self._scheme = scheme
        self._document = b""
        self._edition = _edition()
        page = PAGE.format(title=escape(service.title), edition=self._edition)
        self._page = page.encode()

    @describe(
        summary="Describe the API",
        description="The OpenAPI 3.1 document of this service.",
        responses={200: OpenApiDocument},
        tags=_TAGS,
    )
    async def openapi(self, _request: Request) -> Response:
        if not self._document:
            self._document = await asyncio.to_thread(openapi_document, self._service, self._routes, self._scheme)
        return Response(self._document, media_type="application/json")

    @describe(
        summary="Show the API to people",
        description="A page that displays `/openapi.json` and can send requests.",
        responses={200: str},
        text_type="text/html",
        tags=_TAGS,
    )
    async def page(self, _request: Request) -> Response:
        return Response(self._page, media_type="text/html", headers={"Content-Security-Policy": PAGE_POLICY})

    @describe(
        summary="Load a part of the documentation page",
        description="Its path changes with its content, so that it may be kept for ever.",
        responses={200: str},
        text_type="*/*",
        problems=[404],
        tags=_TAGS,
    )
    async def asset(self, request: Request) -> Response:
        name = request.path_params["name"]
        headers = {"Cache-Control": "public, max-age=31536000, immutable"}
        if request.path_params["edition"] != self._edition:
            raise NotFound("no such part of the documentation page")
        if name == "start.js":
            return Response(START_SCRIPT, media_type="text/javascript", headers=headers)
        if name not in ASSETS:
            raise NotFound("no such part of the documentation page")
        return FileResponse(swagger_ui.static_path / name, media_type=ASSETS[name], headers=headers)


def _edition() -> str:
    """A text that differs whenever an asset does; sizes and times stand for the big files, so none is read here."""
    stats = [(swagger_ui.static_path / name).stat() for name in ASSETS]
    files = repr([(stat.st_size, stat.st_mtime_ns) for stat in stats]).encode()
    return hashlib.sha256(START_SCRIPT + files).hexdigest()[:16]
