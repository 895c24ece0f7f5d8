"""The base of a PATCH body: a field that is left out stays as it is."""

from __future__ import annotations

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic_core import PydanticCustomError


def _partial(schema: dict[str, Any]) -> None:
    """A default stands for a field that was not given, which no client may send."""
    schema["minProperties"] = 1
    for field in schema["properties"].values():
        field.pop("default", None)


class Changes(BaseModel):
    """What to change; at least one field is given.

    `model_fields_set` says which: the defaults of the fields are never read.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra=_partial)

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if not self.model_fields_set:
            *most, last = type(self).model_fields
            names = f"{', '.join(most)} or {last}" if most else last
            raise PydanticCustomError("empty", "names nothing to change: give {names}", {"names": names})
        return self
