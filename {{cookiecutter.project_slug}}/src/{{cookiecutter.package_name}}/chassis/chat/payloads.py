"""What clients send with each event, checked strictly; members that are not known are ignored."""

from __future__ import annotations

import re
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from ..errors import FieldError, Invalid
from ..shapes.characters import shows_something
from ..shapes.credentials import Name

MAX_HISTORY = 100
MAX_TOKEN_CHARACTERS = 4096
MAX_ID = 2**53 - 1
"""The largest whole number that JavaScript counts without a gap."""
MAX_ERRORS = 10

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def _is_text(value: str) -> str:
    if _CONTROL.search(value):
        raise PydanticCustomError("control_character", "holds a control character other than a tab or a line break")
    if not shows_something(value):
        raise PydanticCustomError("invisible", "shows nothing: it needs a letter, digit or sign")
    return value


RoomId = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[\w.:@+-]+$")]
"""Letters and digits of any script, and `_ . : @ + -`: a room's id stands in paths and in logs."""
UserId = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[\w.:@+-]+$")]
ClientMessageId = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._:-]+$")]
Text = Annotated[str, AfterValidator(_is_text)]


class Payload(BaseModel):
    """The one argument of an event: an object with names in camelCase."""

    model_config = ConfigDict(strict=True, frozen=True, alias_generator=to_camel)


class InRoom(Payload):
    """Of `leave-room`."""

    room_id: RoomId


class JoinRoom(InRoom):
    """Of `join-room`; in a chat with tokens, user and name may be left out."""

    user_id: UserId | None = None
    username: Name | None = None


class SendMessage(InRoom):
    """Of `send-message`."""

    message: Text
    message_type: Annotated[str, StringConstraints(min_length=1, max_length=32)] = "text"
    client_message_id: ClientMessageId | None = None


class Typing(InRoom):
    """Of `typing`."""

    typing: bool = True


class History(InRoom):
    """Of `history`: what came after the message *since*, or the newest."""

    since: Annotated[int, Field(ge=0, le=MAX_ID)] | None = None
    limit: Annotated[int, Field(ge=1, le=MAX_HISTORY)] = MAX_HISTORY


class Authenticate(Payload):
    """Of `authenticate`, and of the connection itself."""

    token: Annotated[str, StringConstraints(min_length=1, max_length=MAX_TOKEN_CHARACTERS)]


AnyPayload = TypeVar("AnyPayload", bound=Payload)


def read(model: type[AnyPayload], arguments: tuple[Any, ...]) -> AnyPayload:
    """The one object in *arguments* as *model*; raises Invalid, which names every wrong place."""
    if len(arguments) != 1 or not isinstance(arguments[0], dict):
        raise Invalid(
            "The event needs one object.", (FieldError("", f"is not one object, but {len(arguments)} arguments"),)
        )
    try:
        return model.model_validate(arguments[0])
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)[:MAX_ERRORS]
        raise Invalid("The event is wrong.", tuple(map(_field_error, found))) from None


def missing(*names: str) -> Invalid:
    """What to raise for members that are needed here."""
    return Invalid("The event is wrong.", tuple(FieldError(f"/{name}", "Field required") for name in names))


def _field_error(detail: Any) -> FieldError:
    return FieldError("".join(f"/{part}" for part in detail["loc"])[:100], detail["msg"][:200])
