"""Handlers of imports; the service says at which paths, and who may call them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from time import monotonic
from typing import TYPE_CHECKING

from starlette.responses import Response, StreamingResponse

from ..access import current_caller
from ..errors import DatabaseUnavailable, UnsupportedMediaType
from ..http import EventStream, describe, json_response, read_id, read_query
from ..http.events import EVENTS, ServerEvent
from .arguments import DELIMITER_NAMES
from .exports import REJECTS_HEADER, csv_of_rejects
from .shapes import ImportOut, ImportQuery
from .store import NewImport
from .tables import ENDED

if TYPE_CHECKING:
    from starlette.requests import Request

    from .imports import Imports

POLL_SECONDS = 1.0
STREAM_SECONDS = 300.0
"""A client that follows for longer connects again, and is authorized again."""
_TAGS = ["imports"]
_CSV_TYPES = ("text/csv", "application/csv", "application/vnd.ms-excel")
"""The last is what browsers on Windows say of a .csv."""


class ImportsController:
    """One method for each method and path of the imports."""

    def __init__(self, imports: Imports) -> None:
        self._imports = imports

    @describe(
        summary="Import a CSV file",
        description="The body is the file itself. It is stored, and imported in the background: `Location` names the "
        "path of the import. A file that the same caller sent before gets 200 and the first import, unless `again` is "
        "true.",
        query=ImportQuery,
        body_type="text/csv",
        responses={202: ImportOut, 200: ImportOut},
        problems=[400, 413, 415, 422, 503],
        tags=_TAGS,
    )
    async def upload(self, request: Request) -> Response:
        query = read_query(request, ImportQuery)
        _require_csv(request)
        new = NewImport(
            caller=current_caller.get().user_id,
            encoding=query.encoding,
            delimiter=DELIMITER_NAMES[query.delimiter] if query.delimiter else None,
            on_conflict=query.on_conflict,
        )
        made, is_new = await self._imports.receive(request.stream(), new, again=query.again)
        return json_response(made, status=202 if is_new else 200, headers={"Location": f"{request.url.path}/{made.id}"})

    @describe(
        summary="Get an import",
        description="Its state, and what has become of the records so far.",
        responses={200: ImportOut},
        problems=[404, 422, 503],
        tags=_TAGS,
    )
    async def get(self, request: Request) -> Response:
        return json_response(await self._imports.get(read_id(request, "import_id")))

    @describe(
        summary="Cancel an import",
        description="What was imported stays. An import that has ended is returned as it is.",
        responses={200: ImportOut},
        problems=[404, 422, 503],
        tags=_TAGS,
    )
    async def cancel(self, request: Request) -> Response:
        return json_response(await self._imports.cancel(read_id(request, "import_id")))

    @describe(
        summary="List the rejected records",
        description="As CSV: the line of each record, why it was rejected, and its original text. A cell that a "
        "spreadsheet would run as a formula has an apostrophe before it.",
        responses={200: str},
        text_type="text/csv",
        problems=[404, 422, 503],
        tags=_TAGS,
    )
    async def rejects(self, request: Request) -> Response:
        import_id = read_id(request, "import_id")
        await self._imports.get(import_id)
        headers = {"Content-Disposition": f'attachment; filename="rejects-{import_id}.csv"'}
        return StreamingResponse(self._rejects(import_id), headers=headers, media_type="text/csv; charset=utf-8")

    async def _rejects(self, import_id: str) -> AsyncIterator[str]:
        yield REJECTS_HEADER
        async for page in self._imports.store.rejects(import_id):
            yield csv_of_rejects(page)

    @describe(
        summary="Follow an import",
        description="Server-sent events: `progress` with the import whenever it has changed, and `end` with it when it "
        "has ended. The stream ends after five minutes; a client that connects again goes on.",
        responses={200: str},
        text_type=EVENTS,
        problems=[404, 422, 503],
        tags=_TAGS,
    )
    async def events(self, request: Request) -> Response:
        import_id = read_id(request, "import_id")
        first = await self._imports.get(import_id)
        return EventStream(self._events(first), lifecycle=self._imports.lifecycle, problems=self._imports.problems)

    async def _events(self, shown: ImportOut) -> AsyncGenerator[ServerEvent]:
        begun = monotonic()
        yield _event(shown)
        while shown.state not in ENDED and monotonic() - begun < STREAM_SECONDS:
            await asyncio.sleep(POLL_SECONDS)
            now = await self._now(shown)
            if now != shown:
                shown = now
                yield _event(shown)

    async def _now(self, before: ImportOut) -> ImportOut:
        try:
            return await self._imports.get(before.id)
        except DatabaseUnavailable:
            return before


def _event(shown: ImportOut) -> ServerEvent:
    return "end" if shown.state in ENDED else "progress", shown.model_dump_json().encode()


def _require_csv(request: Request) -> None:
    types = request.headers.getlist("content-type")
    if len(types) != 1 or types[0].partition(";")[0].strip().lower() not in _CSV_TYPES:
        raise UnsupportedMediaType("The body must be text/csv, and its Content-Type must say so.")
    encodings = request.headers.getlist("content-encoding")
    if encodings and [encoding.lower() for encoding in encodings] != ["identity"]:
        raise UnsupportedMediaType("The body must not be compressed.")
