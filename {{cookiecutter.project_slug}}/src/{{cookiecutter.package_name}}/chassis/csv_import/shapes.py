"""Shapes of imports on the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from .decoding import ENCODINGS, encoding_named
from .sink import OnConflict
from .tables import ImportState


def _is_encoding(name: str) -> str:
    try:
        return encoding_named(name)
    except ValueError:
        most = {"encodings": ", ".join(ENCODINGS)}
        raise PydanticCustomError("encoding", "is none of the encodings that are read: {encodings}", most) from None


class ImportQuery(BaseModel):
    """How a file is to be read, and what becomes of a record that is there already."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    on_conflict: OnConflict = Field(
        default=OnConflict.SKIP,
        description="What is done with a record that is in the database already; `fail` ends the import there.",
    )
    encoding: Annotated[str, AfterValidator(_is_encoding)] | None = Field(
        default=None, max_length=40, description=f"UTF-8 if it is not given; one of {', '.join(ENCODINGS)}."
    )
    delimiter: Literal["comma", "semicolon", "tab"] | None = Field(
        default=None, description="Found out by the header if it is not given."
    )
    again: bool = Field(default=False, description="Import a file that was sent before once more.")


class ImportOut(BaseModel):
    """An import: every record read is counted as exactly one of inserted, updated, skipped and rejected."""

    id: str
    state: ImportState
    on_conflict: OnConflict
    sha256: str | None = Field(description="Of the file; null while it is uploaded.")
    size_bytes: int
    percent: float = Field(description="How much of the file is read, from 0 to 100.")
    records: int = Field(description="How many records of the file are done with.")
    inserted: int
    updated: int
    skipped: int
    rejected: int
    failure: str | None = Field(description="Why the import failed, with the line if there is one.")
    created_at: datetime
    ended_at: datetime | None
