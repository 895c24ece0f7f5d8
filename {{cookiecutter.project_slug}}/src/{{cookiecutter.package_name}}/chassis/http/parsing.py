"""Strict reading of bodies and query strings into models.

What cannot be parsed raises MalformedRequest (400) and names where; what can be parsed and is wrong raises Invalid
(422) and names every wrong place. Nothing that a client sent is repeated in a message, but for the names of its fields.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NoReturn, TypeVar
from urllib.parse import parse_qsl

from pydantic import BaseModel, ValidationError

from ..errors import FieldError, Invalid, MalformedRequest, UnsupportedMediaType
from ..shapes.ids import ID_PATTERN
from .json_bodies import check_json
from .requests import limits_of

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails
    from starlette.requests import Request

Model = TypeVar("Model", bound=BaseModel)

MAX_ERRORS = 50
MAX_COUNTED_ERRORS = 1_000
"""With more, none is named: pydantic makes all of them or none, at half a microsecond each."""
MAX_DETAIL_CHARACTERS = 300
MAX_POINTER_CHARACTERS = 200
MAX_QUERY_FIELDS = 50

_JSON_TYPE = re.compile(r'application/json(\s*;\s*charset\s*=\s*"?utf-8"?)?\s*', re.IGNORECASE)
_ID = re.compile(ID_PATTERN[:-1] + r"\Z")


async def read_body(request: Request, model: type[Model]) -> Model:
    """The JSON body as *model*: strictly, so that "1" is no integer and an unknown field is rejected.

    Raises UnsupportedMediaType, ContentTooLarge, MalformedRequest and Invalid.
    """
    _require_json(request)
    body = await request.body()
    await check_json(body, limits_of(request))
    try:
        validated: Model = model.__pydantic_validator__.validate_json(body, strict=True)
    except ValidationError as error:
        _reject_body(error)
    return validated


def read_query(request: Request, model: type[Model]) -> Model:
    """The query string as *model*, each parameter given at most once.

    Raises MalformedRequest and Invalid, which names a parameter as `?name`.
    """
    values = _query_values(request.scope["query_string"])
    try:
        validated: Model = model.__pydantic_validator__.validate_python(values)
    except ValidationError as error:
        raise Invalid("The query is wrong.", _field_errors(_details(error), "?")) from None
    return validated


def read_id(request: Request, name: str) -> str:
    """The id that the path names in its part *name*; raises Invalid, which names it as `{name}`."""
    value: str = request.path_params[name]
    if not _ID.match(value):
        problem = FieldError(f"{{{name}}}", "is not an id: a UUID in lower case with hyphens")
        raise Invalid("The path is wrong.", (problem,))
    return value


def _require_json(request: Request) -> None:
    """Reject also what says it twice: a reader of the other field would take the body for something else."""
    types = request.headers.getlist("content-type")
    if len(types) != 1 or not _JSON_TYPE.fullmatch(types[0]):
        raise UnsupportedMediaType("The body must be application/json in UTF-8, and its Content-Type must say so.")
    encodings = request.headers.getlist("content-encoding")
    if encodings and [encoding.lower() for encoding in encodings] != ["identity"]:
        raise UnsupportedMediaType("The body must not be compressed.")


def _reject_body(error: ValidationError) -> NoReturn:
    """An Invalid; or MalformedRequest for a depth, or a number, beyond pydantic's limits and within orjson's."""
    if error.error_count() > MAX_COUNTED_ERRORS:
        problem = FieldError("", f"has {error.error_count()} wrong places, too many to name them")
        raise Invalid("The body is wrong.", (problem,)) from None
    details = _details(error)
    if details[0]["type"] == "json_invalid":
        raise MalformedRequest("The body is nested too deeply, or has a number with too many digits.") from None
    raise Invalid("The body is wrong.", _field_errors(details, "/")) from None


def _query_values(query: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(
            query.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MAX_QUERY_FIELDS
        )
    except UnicodeDecodeError:
        raise MalformedRequest("The query is not UTF-8.") from None
    except ValueError:
        raise MalformedRequest(f"The query has more than {MAX_QUERY_FIELDS} parameters.") from None
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        repeated = sorted({name for name in names if names.count(name) > 1})
        raise Invalid("The query is wrong.", tuple(FieldError(_cut(f"?{name}"), "is given twice") for name in repeated))
    return values


def _details(error: ValidationError) -> list[ErrorDetails]:
    return error.errors(include_url=False, include_input=False)


def _field_errors(details: list[ErrorDetails], root: str) -> tuple[FieldError, ...]:
    return tuple(_field_error(detail, root) for detail in details[:MAX_ERRORS])


def _field_error(detail: ErrorDetails, root: str) -> FieldError:
    pointer = detail.get("ctx", {}).get("pointer")
    if pointer is None:
        pointer = _pointer(detail["loc"]) if root == "/" else _cut(root + ".".join(map(str, detail["loc"])))
    # Pydantic's words for a union hold the tag that was sent.
    return FieldError(pointer, _cut(detail["msg"], MAX_DETAIL_CHARACTERS))


def _pointer(location: tuple[int | str, ...]) -> str:
    """A JSON pointer (RFC 6901); the empty one means the whole document."""
    return _cut("".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in location))


def _cut(text: str, longest: int = MAX_POINTER_CHARACTERS) -> str:
    return text if len(text) <= longest else text[:longest] + "..."
