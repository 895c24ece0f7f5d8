"""Lists on the wire: by page with totals, by cursor at a cost that does not grow with depth, and by ids."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Annotated, Generic, Self, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from .ids import ID_PATTERN

MAX_PAGE = 1_000_000
MAX_LIMIT = 100
MAX_IDS = 100
DEFAULT_LIMIT = 20

Item = TypeVar("Item")

_WHOLE_NUMBER = re.compile(r"[0-9]{1,19}")
_ID = re.compile(ID_PATTERN)


MAX_CURSOR = 2048
_ID_BYTES = 16
_BASE = {"page", "limit", "cursor", "ids", "sort"}
"""What a list's query has besides its filters."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a list goes on: after the item with *last_id*, whose sorted field has the text *value*."""

    last_id: str
    sort: str = ""
    """As in the query, with - for descending; empty for the order of ids."""
    value: str = ""
    filters: Mapping[str, str] = field(default_factory=dict)


def cursor_after(last_id: str, sort: str = "", value: str = "", filters: Mapping[str, str] | None = None) -> str:
    """The opaque place just after *last_id*, in the order of ids or of *sort*; it carries all that it depends on."""
    found = bytes.fromhex(last_id.replace("-", ""))
    if sort or filters:
        found += json.dumps([sort, value, dict(filters or {})], ensure_ascii=False, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(found).decode().rstrip("=")


def place_at(cursor: str) -> Place | None:
    """The place of *cursor*; None for the empty cursor, which stands before the first item.

    Raises ValueError for a text that `cursor_after` never made: there is one spelling of each place.
    """
    if not cursor:
        return None
    found = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    if len(found) < _ID_BYTES:
        raise ValueError("not a cursor")
    digits = found[:_ID_BYTES].hex()
    last_id = f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
    place = Place(last_id)
    if len(found) > _ID_BYTES:
        sort, value, filters = json.loads(found[_ID_BYTES:])
        texts = [sort, value, *filters, *filters.values()] if isinstance(filters, dict) else [None]
        if not all(isinstance(text, str) and "\0" not in text for text in texts):
            raise ValueError("not a cursor")
        place = Place(last_id, sort, value, filters)
    if cursor != cursor_after(place.last_id, place.sort, place.value, place.filters):
        raise ValueError("not a cursor")
    return place


def id_at(cursor: str) -> str | None:
    """The id that *cursor* stands after, as `place_at`."""
    place = place_at(cursor)
    return place.last_id if place else None


def _digits(value: object) -> object:
    if isinstance(value, str) and not _WHOLE_NUMBER.fullmatch(value):
        raise PydanticCustomError("whole_number", "is not a whole number in plain digits")
    return value


def _is_cursor(value: str) -> str:
    try:
        place_at(value)
    except (ValueError, TypeError, RecursionError):
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
        max_length=MAX_CURSOR,
        description="Continue after this place: empty to start, then each response's `next_cursor`, which carries the "
        "order and the filters. Not with `page`.",
    )

    @model_validator(mode="after")
    def _is_one_way_to_ask(self) -> Self:
        if "cursor" in self.model_fields_set:
            self._reject_beside("cursor", {"page"})
            self._reject_another_list()
        return self

    @property
    def place(self) -> Place | None:
        """Where to go on; None at the start, and for a page."""
        return place_at(self.cursor or "")

    @property
    def order(self) -> str:
        """What to sort by, with - for descending; empty for the order of ids."""
        return self.place.sort if self.place else getattr(self, "sort", None) or ""

    @property
    def filters(self) -> dict[str, str]:
        """The wanted value of each field that is filtered by."""
        if self.place:
            return dict(self.place.filters)
        given = {name: getattr(self, name) for name in self.model_fields_set - _BASE}
        return {name: value for name, value in sorted(given.items()) if value is not None}

    def _reject_another_list(self) -> None:
        """A cursor continues the list that it is of, whose order and filters may be repeated and not changed."""
        if (place := self.place) is None:
            return
        fields = type(self).model_fields
        orders = get_args(fields["sort"].annotation) if "sort" in fields else ()
        known = {option for part in orders for option in get_args(part)}
        carried = {"sort": place.sort, **place.filters}
        changed = sorted(
            name for name in self.model_fields_set - {"cursor", "limit"} if getattr(self, name) != carried.get(name)
        )
        if changed:
            message = "was made with another {other}; start again with an empty cursor"
            raise PydanticCustomError("another_list", message, {"pointer": "?cursor", "other": changed[0]})
        if (place.sort and place.sort not in known) or not place.filters.keys() <= fields.keys() - _BASE:
            raise PydanticCustomError("another_list", "is a cursor of another list", {"pointer": "?cursor"})

    def _reject_beside(self, parameter: str, others: AbstractSet[str]) -> None:
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
            self._reject_beside("ids", type(self).model_fields.keys() - {"ids"})
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
