"""Strict reading of bodies and query strings into models.

What cannot be parsed raises MalformedRequest (400) and names where; what can be parsed and is wrong raises Invalid
(422) and names every wrong place. Nothing that a client sent is repeated in a message, but for the names of its fields.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar
from urllib.parse import parse_qsl

import orjson
from pydantic import BaseModel, ValidationError

from ..errors import FieldError, Invalid, MalformedRequest, UnsupportedMediaType
from ..shapes.ids import ID_PATTERN

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails
    from starlette.requests import Request

Model = TypeVar("Model", bound=BaseModel)

MAX_ERRORS = 50
MAX_POINTER_CHARACTERS = 200
MAX_QUERY_FIELDS = 50

_JSON_TYPE = re.compile(r'application/json(\s*;\s*charset\s*=\s*"?utf-8"?)?\s*', re.IGNORECASE)
_ID = re.compile(ID_PATTERN[:-1] + r"\Z")


async def read_body(request: Request, model: type[Model]) -> Model:
    """The JSON body as *model*: strictly, so that "1" is no integer and an unknown field is rejected.

    Raises UnsupportedMediaType, MalformedRequest and Invalid.
    """
    _require_json(request)
    body = await request.body()
    _require_sound_json(body)
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
        raise Invalid("The query is wrong.", _field_errors(error, "?")) from None
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


def _require_sound_json(body: bytes) -> None:
    """Reject what is not JSON (RFC 8259), what would be read differently elsewhere, and duplicate keys.

    orjson rejects NaN, numbers without end, lone surrogates and depth. It keeps the last of duplicate keys: an object's
    key has one colon, so as many keys as colons means that none was lost; only otherwise are the keys looked at.
    """
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise MalformedRequest(_malformed(body, error)) from None
    if _keys(document) != body.count(b":"):
        _reject_duplicate_keys(body)


def _malformed(body: bytes, error: orjson.JSONDecodeError) -> str:
    if not body.strip():
        return "The body is empty."
    try:
        body.decode()
    except UnicodeDecodeError as broken:
        return f"The body is not UTF-8 at byte {broken.start}."
    return f"The body is not JSON at line {error.lineno}, column {error.colno}: {error.msg}."


def _keys(document: object) -> int:
    """How many keys all objects in *document* have; its depth is bounded by orjson's."""
    count = 0
    rest = [document]
    while rest:
        value = rest.pop()
        if type(value) is dict:
            count += len(value)
            rest.extend(value.values())
        elif type(value) is list:
            rest.extend(value)
    return count


def _reject_duplicate_keys(body: bytes) -> None:
    try:
        json.loads(body, object_pairs_hook=_object)
    except _DuplicateKey as error:
        pointer = _pointer((error.key,))[1:]
        raise MalformedRequest(f"The body has an object with the key {pointer!r} twice.") from None
    except RecursionError:
        raise MalformedRequest("The body is nested too deeply.") from None


class _DuplicateKey(Exception):
    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for key, value in pairs:
        if key in members:
            raise _DuplicateKey(key)
        members[key] = value
    return members


def _reject_body(error: ValidationError) -> NoReturn:
    """An Invalid; or MalformedRequest for the depth between pydantic's limit and orjson's."""
    if any(detail["type"] == "json_invalid" for detail in _details(error)):
        raise MalformedRequest("The body is nested too deeply.") from None
    raise Invalid("The body is wrong.", _field_errors(error, "/")) from None


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


def _field_errors(error: ValidationError, root: str) -> tuple[FieldError, ...]:
    return tuple(_field_error(detail, root) for detail in _details(error)[:MAX_ERRORS])


def _field_error(detail: ErrorDetails, root: str) -> FieldError:
    pointer = detail.get("ctx", {}).get("pointer")
    if pointer is None:
        pointer = _pointer(detail["loc"]) if root == "/" else _cut(root + ".".join(map(str, detail["loc"])))
    return FieldError(pointer, detail["msg"])


def _pointer(location: tuple[int | str, ...]) -> str:
    """A JSON pointer (RFC 6901); the empty one means the whole document."""
    return _cut("".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in location))


def _cut(pointer: str) -> str:
    return pointer if len(pointer) <= MAX_POINTER_CHARACTERS else pointer[:MAX_POINTER_CHARACTERS] + "..."
