"""Lists by page and by cursor: what may be filtered and sorted is declared, and each of it needs an index."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel
from sqlalchemy import Select, UniqueConstraint, bindparam, func, select, true, tuple_

from ..errors import FieldError, Invalid
from ..shapes.page import Pagination, cursor_after
from .types import UTCDateTime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from sqlalchemy import ColumnElement, Connection, Table
    from sqlalchemy.orm import InstrumentedAttribute

    from ..shapes.page import PageQuery
    from .database import AnyRow, Database


AnySelect = Select[*tuple[Any, ...]]
APage = TypeVar("APage", bound=BaseModel)
ACursorPage = TypeVar("ACursorPage", bound=BaseModel)
SomeItems = TypeVar("SomeItems", bound=BaseModel)


class Listing:
    """The rows of *shown* in the order of *key*, or of a column of *sorts* and then the key, which breaks ties.

    *filters* are compared for equality. All of the columns are of one table, not nullable, and the sorted ones shown.
    """

    def __init__(
        self,
        shown: AnySelect,
        key: InstrumentedAttribute[str],
        *,
        sorts: Sequence[InstrumentedAttribute[Any]] = (),
        filters: Sequence[InstrumentedAttribute[str]] = (),
    ) -> None:
        self._shown = shown
        self._key = key
        self._table: Table = key.class_.__table__
        self._sorts = {column.key: column for column in sorts}
        self._filters = {column.key: column for column in filters}
        self._chosen = shown.where(key.in_(bindparam("ids", expanding=True)))
        self._names = list(shown.selected_columns.keys())
        self._built: dict[tuple[object, ...], AnySelect] = {}

    def without_index(self) -> Iterator[str]:
        """Yield each declared column that no index begins with, and has the key next, unless it is unique."""
        key = self._key.key
        indexed = {tuple(column.key for column in index.columns) for index in self._table.indexes}
        unique = {tuple(each.columns.keys()) for each in self._table.constraints if isinstance(each, UniqueConstraint)}
        for name in dict.fromkeys((*self._sorts, *self._filters)):
            sorted_by = name in self._sorts
            if (name, key) not in indexed and (sorted_by or (name,) not in unique):
                yield name

    async def find(
        self,
        database: Database,
        query: PageQuery,
        page: type[APage],
        cursor_page: type[ACursorPage],
        items: type[SomeItems] | None = None,
    ) -> APage | ACursorPage | SomeItems:
        """What *query* asks for: *items* by its ids, a *cursor_page* after its cursor, or else a *page*."""
        ids = getattr(query, "ids", None)
        if ids is not None and items is not None:
            found = {row[self._names.index(self._key.key)]: row for row in await self._by_ids(database, ids.split(","))}
            return items.model_validate(
                {"items": self._fields(found[each] for each in ids.split(",") if each in found)}
            )
        if query.cursor is not None:
            rows, next_cursor = await database.read(self.after(query))
            return cursor_page.model_validate({"items": self._fields(rows), "next_cursor": next_cursor})
        total_items, rows = await database.read(self.page(query))
        pagination = Pagination.of(page=query.page, limit=query.limit, total_items=total_items)
        return page.model_validate({"items": self._fields(rows), "pagination": pagination})

    async def _by_ids(self, database: Database, ids: list[str]) -> Sequence[AnyRow]:
        """By one query, without an order."""
        return await database.fetch_all(self._chosen, {"ids": ids})

    def _fields(self, rows: Iterable[Sequence[Any]]) -> list[dict[str, Any]]:
        """For a model to validate at once, which takes half the time of `model_construct` for each row."""
        return [dict(zip(self._names, row, strict=True)) for row in rows]

    def page(self, query: PageQuery) -> Callable[[Connection], tuple[int, list[tuple[Any, ...]]]]:
        """For `Database.read`: how many rows there are, and those of the page; by one statement, also past the end."""
        values = {"limit": query.limit, "skip": (query.page - 1) * query.limit, **query.filters}
        statement = self._statement(self._page, query.order, tuple(query.filters))
        place_of_key = self._names.index(self._key.key) + 1

        def read(connection: Connection) -> tuple[int, list[tuple[Any, ...]]]:
            rows = connection.execute(statement, values).all()
            return rows[0][0], [tuple(row[1:]) for row in rows if row[place_of_key] is not None]

        return read

    def after(self, query: PageQuery) -> Callable[[Connection], tuple[list[tuple[Any, ...]], str | None]]:
        """For `Database.read`: the rows after the query's cursor, and the next one, at the same cost at any depth."""
        place, name = query.place, query.order.removeprefix("-")
        values = {"limit": query.limit + 1, **query.filters}  # one more tells whether anything follows
        if place is not None:
            values |= {"last_id": place.last_id, **({"last_value": self._value(name, place.value)} if name else {})}
        build = self._first if place is None else self._next
        statement = self._statement(build, query.order, tuple(query.filters))

        def read(connection: Connection) -> tuple[list[tuple[Any, ...]], str | None]:
            rows = [tuple(row) for row in connection.execute(statement, values)]
            if len(rows) <= query.limit:
                return rows, None
            last = dict(zip(self._names, rows[query.limit - 1], strict=True))
            text = _text_of(last[name]) if name else ""
            return rows[: query.limit], cursor_after(last[self._key.key], query.order, text, query.filters)

        return read

    def _statement(
        self, build: Callable[[str, tuple[str, ...]], AnySelect], order: str, filters: tuple[str, ...]
    ) -> AnySelect:
        """Built once for each way to ask, of which there are few."""
        key = (build.__name__, order, filters)
        if key not in self._built:
            self._built[key] = build(order, filters)
        return self._built[key]

    def _where(self, filters: tuple[str, ...]) -> list[ColumnElement[bool]]:
        return [self._filters[name] == bindparam(name, type_=self._filters[name].type) for name in filters]

    def _first(self, order: str, filters: tuple[str, ...]) -> AnySelect:
        name = order.removeprefix("-")
        columns: list[Any] = [*([self._sorts[name]] if name else []), self._key]
        ordered = [column.desc() for column in columns] if order.startswith("-") else columns
        return self._shown.where(*self._where(filters)).order_by(*ordered).limit(bindparam("limit"))

    def _next(self, order: str, filters: tuple[str, ...]) -> AnySelect:
        name = order.removeprefix("-")
        last: Any = bindparam("last_id", type_=self._key.type)
        here: Any = self._key
        if name:
            here = tuple_(self._sorts[name], self._key)
            last = tuple_(bindparam("last_value", type_=self._sorts[name].type), last)
        return self._first(order, filters).where(here < last if order.startswith("-") else here > last)

    def _page(self, order: str, filters: tuple[str, ...]) -> AnySelect:
        page = self._first(order, filters).offset(bindparam("skip")).subquery("page")
        counted = select(func.count()).select_from(self._table).where(*self._where(filters)).subquery("counted")
        name = order.removeprefix("-")
        columns = [*([page.c[name]] if name else []), page.c[self._key.key]]
        ordered = [column.desc() for column in columns] if order.startswith("-") else columns
        return select(*counted.c, *page.c).select_from(counted.outerjoin(page, true())).order_by(*ordered)

    def _value(self, name: str, text: str) -> object:
        """The value that *text* stands for in a cursor; raises Invalid for one of another kind."""
        if not isinstance(self._sorts[name].type, UTCDateTime):
            return text
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            moment = None
        if moment is None or text != _text_of(moment):
            problem = FieldError("?cursor", "is not a cursor that a list of this service returned")
            raise Invalid("The query is wrong.", (problem,))
        return moment


def _text_of(value: object) -> str:
    """For a cursor; a time in UTC, in which no date is too early or too late."""
    return value.replace(tzinfo=UTC).isoformat() if isinstance(value, datetime) else str(value)
