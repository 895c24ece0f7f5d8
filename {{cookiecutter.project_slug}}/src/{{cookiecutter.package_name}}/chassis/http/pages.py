"""A page for people: a document of the service, and the files that it loads from this host."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.responses import HTMLResponse

from ..access import PUBLIC
from .describe import describe
from .mounts import static_files
from .routing import ApiRoute, allow

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute


def web_page(  # noqa: PLR0913 - all named but two
    path: str, document: Path, *, assets: Path, name: str, summary: str, tags: Sequence[str] = ()
) -> list[BaseRoute]:
    """Serve the HTML *document* at *path*, and the folder *assets*, from which it loads, below `{path}/assets`.

    Anyone may load them. The document is read once; browsers keep the assets and ask whether they have changed.
    """
    content = document.read_bytes()

    @describe(
        summary=summary,
        description="A page for browsers, which loads nothing from other hosts.",
        responses={200: str},
        text_type="text/html",
        tags=tags,
    )
    async def show(_request: Request) -> Response:
        return HTMLResponse(content)

    return [
        ApiRoute(path, {"GET": allow(PUBLIC, show)}, name=f"{name}.page"),
        static_files(f"{path}/assets", assets, policy=PUBLIC, name=f"{name}.assets"),
    ]
