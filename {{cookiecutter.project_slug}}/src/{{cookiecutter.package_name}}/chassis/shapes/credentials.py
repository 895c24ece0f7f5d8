"""What people type about themselves: a name, an e-mail address, a password; each type says what it accepts."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Annotated
from unicodedata import normalize

from pydantic import AfterValidator, Field, SecretStr, StringConstraints
from pydantic_core import PydanticCustomError

MAX_NAME_CHARACTERS = 100
MAX_EMAIL_CHARACTERS = 254
MIN_PASSWORD_CHARACTERS = 8
MAX_PASSWORD_CHARACTERS = 1024

_NAME_PATTERN = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]+$"
_LABEL = r"[^@\s.\x00-\x1f\x7f-\x9f]+"
_EMAIL_PATTERN = rf"^[^@\s\x00-\x1f\x7f-\x9f]+@{_LABEL}(\.{_LABEL})+$"
_NAME = re.compile(_NAME_PATTERN[:-1] + r"\Z")
_EMAIL = re.compile(_EMAIL_PATTERN[:-1] + r"\Z")


def _is_name(value: str) -> str:
    if not _NAME.match(value):
        raise PydanticCustomError("control_character", "holds a control character or a line break")
    return value


def _is_email(value: str) -> str:
    address = canonical_email(value)
    if not _EMAIL.match(address):
        raise PydanticCustomError("email", "is not an e-mail address: name@host.domain, without spaces")
    return address


def canonical_email(address: str) -> str:
    """*address* in the one spelling that stands for every letter case and for composed and decomposed accents.

    Letter by letter, and a letter stays one: `lower` would write a capital sigma by its place in the word, and
    `casefold` would write ß as ss, which may be another person's address, and mail is sent to what is kept.
    """
    letters = [(letter.casefold(), letter.lower()) for letter in normalize("NFC", address)]
    return normalize("NFC", "".join(fold if len(fold) == 1 else lower for fold, lower in letters))


@cache
def _common_passwords() -> frozenset[str]:
    lines = Path(__file__).with_name("common_passwords.txt").read_text(encoding="utf-8").splitlines()
    return frozenset(line for line in lines if not line.startswith("#"))


def _has_length(value: SecretStr, *, least: int = 0) -> SecretStr:
    """Pydantic's own words would call the characters items."""
    if len(value) < least:
        raise PydanticCustomError("too_short", "has fewer than {least} characters", {"least": least})
    if len(value) > MAX_PASSWORD_CHARACTERS:
        raise PydanticCustomError("too_long", "has more than {most} characters", {"most": MAX_PASSWORD_CHARACTERS})
    return value


def _is_password(value: SecretStr) -> SecretStr:
    password = _has_length(value, least=MIN_PASSWORD_CHARACTERS).get_secret_value()
    if "\x00" in password:
        raise PydanticCustomError("control_character", "holds a NUL character")
    if password.lower() in _common_passwords():
        raise PydanticCustomError("common_password", "is one of the commonest passwords, which are tried first")
    return value


Name = Annotated[
    str,
    StringConstraints(min_length=1, max_length=MAX_NAME_CHARACTERS, strip_whitespace=True),
    AfterValidator(_is_name),
    Field(description="For people; any script, no control characters.", json_schema_extra={"pattern": _NAME_PATTERN}),
]
Email = Annotated[
    str,
    StringConstraints(max_length=MAX_EMAIL_CHARACTERS),
    AfterValidator(_is_email),
    Field(
        description="Unique in any letter case; kept and returned in lower case.",
        json_schema_extra={"format": "email", "pattern": _EMAIL_PATTERN},
    ),
]
Password = Annotated[
    SecretStr,
    AfterValidator(_is_password),
    Field(
        description="Never returned.",
        json_schema_extra={"minLength": MIN_PASSWORD_CHARACTERS, "maxLength": MAX_PASSWORD_CHARACTERS},
    ),
]
"""One to store."""
GivenPassword = Annotated[
    SecretStr,
    AfterValidator(_has_length),
    Field(description="Never returned.", json_schema_extra={"maxLength": MAX_PASSWORD_CHARACTERS}),
]
"""One to compare with what is stored, whatever it is."""
