"""JSON responses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import Response

if TYPE_CHECKING:
    from pydantic import BaseModel


def json_response(model: BaseModel, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """*model* as JSON, without validating it again."""
    body = model.__pydantic_serializer__.to_json(model)
    return Response(body, status, headers, media_type="application/json")
