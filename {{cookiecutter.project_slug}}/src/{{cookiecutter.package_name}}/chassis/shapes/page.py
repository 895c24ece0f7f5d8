"""Lists on the wire: by page with totals, by cursor at a cost that does not grow with depth, and by ids."""

from __future__ import annotations

import base64
import re
from typing import Annotated, Generic, Self, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from .ids import ID_PATTERN

MAX_PAGE = 1_000_000
MAX_LIMIT = 100
MAX_IDS = 100
DEFAULT_LIMIT = 20

Item = TypeVar("Item")

_CURSOR = re.compile(r"[A-Za-z0-9_-]{21}[AQgw]")
"""128 bits in base64: the last character holds two of them, so there is one spelling of each cursor."""
_WHOLE_NUMBER = re.compile(r"[0-9]{1,19}")
_ID = re.compile(ID_PATTERN)


def cursor_after(last_id: str) -> str:
    """The opaque place just after *last_id* in the order of ids."""
    return base64.urlsafe_b64encode(bytes.fromhex(last_id.replace("-", ""))).decode().rstrip("=")


def id_at(cursor: str) -> str | None:
    """The id that *cursor* stands after; None for the empty cursor, which stands before the first.

    Raises ValueError for a text that `cursor_after` never made.
    """
    if not cursor:
        return None
    if not _CURSOR.fullmatch(cursor):
        raise ValueError("not a cursor")
    digits = base64.urlsafe_b64decode(cursor + "==").hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def _digits(value: object) -> object:
    if isinstance(value, str) and not _WHOLE_NUMBER.fullmatch(value):
        raise PydanticCustomError("whole_number", "is not a whole number in plain digits")
    return value


def _is_cursor(value: str) -> str:
    try:
        id_at(value)
    except ValueError:
        raise PydanticCustomError("cursor", "is not a cursor that a list of this service returned") from None
    return value


def _are_ids(value: str) -> str:
    ids = value.split(",")
    if len(ids) > MAX_IDS:
        raise PydanticCustomError("ids_count", "names more than {maximum} ids", {"maximum": MAX_IDS})
    wrong = next((position for position, item in enumerate(ids, start=1) if not _ID.fullmatch(item)), None)
    if wrong is not None:
        raise PydanticCustomError("ids_shape", "has no id at position {position}", {"position": wrong})
    if len(set(ids)) < len(ids):
        raise PydanticCustomError("ids_repeated", "names an id more than once")
    return value


class PageQuery(BaseModel):
    """The parameters of a list: `page` or `cursor`, each with `limit`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    page: Annotated[int, BeforeValidator(_digits)] = Field(
        default=1, ge=1, le=MAX_PAGE, description="Which page, counted from 1."
    )
    limit: Annotated[int, BeforeValidator(_digits)] = Field(
        default=DEFAULT_LIMIT, ge=1, le=MAX_LIMIT, description="How many items a response holds at most."
    )
    cursor: Annotated[str, AfterValidator(_is_cursor)] | None = Field(
        default=None,
        max_length=22,
        description="Continue after this place: empty to start, then each response's `next_cursor`. Not with `page`.",
    )

    @model_validator(mode="after")
    def _is_one_way_to_ask(self) -> Self:
        if "cursor" in self.model_fields_set:
            self._reject_beside("cursor", {"page"})
        return self

    def _reject_beside(self, parameter: str, others: set[str]) -> None:
        both = self.model_fields_set & others
        if both:
            message = "cannot be used together with {other}"
            raise PydanticCustomError("together", message, {"pointer": f"?{parameter}", "other": min(both)})


class ListQuery(PageQuery):
    """The parameters of a list that can also be asked for by ids."""

    ids: Annotated[str, AfterValidator(_are_ids)] | None = Field(
        default=None, description=f"At most {MAX_IDS} ids with commas between them. Not with the other parameters."
    )

    @model_validator(mode="after")
    def _ids_stand_alone(self) -> Self:
        if "ids" in self.model_fields_set:
            self._reject_beside("ids", {"page", "limit", "cursor"})
        return self


class Pagination(BaseModel):
    """Where a page stands in the whole list."""

    page: int
    limit: int
    total_items: int
    total_pages: int
    has_next: bool
    has_prev: bool

    @classmethod
    def of(cls, *, page: int, limit: int, total_items: int) -> Self:
        """An empty list has no pages; a page past the end has a previous one and no next one."""
        total_pages = -(-total_items // limit)
        return cls(
            page=page,
            limit=limit,
            total_items=total_items,
            total_pages=total_pages,
            has_next=page < total_pages,
            has_prev=page > 1 and total_pages > 0,
        )


class Page(BaseModel, Generic[Item]):
    """One page of a list, with totals."""

    items: list[Item]
    pagination: Pagination


class CursorPage(BaseModel, Generic[Item]):
    """The items after a cursor; `next_cursor` is null at the end of the list."""

    items: list[Item]
    next_cursor: str | None


class Items(BaseModel, Generic[Item]):
    """The items that were asked for by id, in the order asked; an id that names nothing is left out."""

    items: list[Item]
