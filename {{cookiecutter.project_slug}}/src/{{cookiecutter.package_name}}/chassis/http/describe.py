"""What a handler says about itself for the OpenAPI document: an attribute, without any cost per request."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel

Shape = type[BaseModel] | tuple[type[BaseModel] | type[str], ...] | type[str] | None
"""A response's body: one model, one of several, text, or nothing; `str` among several is the text of `text_type`."""

Handler = TypeVar("Handler", bound=Callable[..., object])


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path. `problems` are the statuses of the problem details it may return.

    `text_type` is the media type of a response whose shape is `str`, `body_type` that of a body
    other than JSON. An `idempotent` one takes Idempotency-Key. A `versioned` one has an ETag with each body that it
    returns; PUT, PATCH and DELETE then take If-Match.
    """

    summary: str
    description: str
    body: type[BaseModel] | None
    query: type[BaseModel] | None
    responses: Mapping[int, Shape]
    problems: tuple[int, ...]
    tags: tuple[str, ...]
    text_type: str
    idempotent: bool = False
    versioned: bool = False
    body_type: str = ""


def describe(  # noqa: PLR0913 - the parts of an OpenAPI operation, all named
    *,
    summary: str,
    description: str,
    responses: Mapping[int, Shape],
    body: type[BaseModel] | None = None,
    query: type[BaseModel] | None = None,
    problems: Sequence[int] = (),
    tags: Sequence[str] = (),
    text_type: str = "text/plain",
    idempotent: bool = False,
    versioned: bool = False,
    body_type: str = "",
) -> Callable[[Handler], Handler]:
    """Give the decorated handler an `operation` attribute and leave it as it is."""
    operation = Operation(
        summary,
        description,
        body,
        query,
        dict(responses),
        tuple(problems),
        tuple(tags),
        text_type,
        idempotent,
        versioned,
        body_type,
    )

    def attach(handler: Handler) -> Handler:
        handler.operation = operation  # type: ignore[attr-defined]
        return handler

    return attach
