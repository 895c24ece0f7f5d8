"""A page that is a client of the chat: its document is the service's own, and what it loads lies here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from starlette.responses import HTMLResponse

from ..access import PUBLIC
from ..http import ApiRoute, allow, describe, static_files

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

ASSETS = Path(__file__).parent / "page"
"""The scripts, the style sheet, and the client of Socket.IO as its authors publish it, with its licence and hash."""


def chat_page(path: str, document: Path) -> list[BaseRoute]:
    """Serve *document* at *path*, and what it loads below `{path}/assets`; the texts and addresses are its own.

    Browsers keep the assets, and ask each time whether they are still good.
    """
    return [
        ApiRoute(path, {"GET": allow(PUBLIC, _Page(document).show)}, name="chat.page"),
        static_files(f"{path}/assets", ASSETS, policy=PUBLIC, name="chat.assets"),
    ]


class _Page:
    def __init__(self, document: Path) -> None:
        self._document = document.read_bytes()

    @describe(
        summary="Talk in a browser",
        description="A page that joins a room; it loads nothing from other hosts.",
        responses={200: str},
        text_type="text/html",
        tags=["chat"],
    )
    async def show(self, _request: Request) -> Response:
        return HTMLResponse(self._document)
