"""What people type about themselves: a name, an e-mail address, a password; each type says what it accepts."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Annotated
from unicodedata import category, normalize

from pydantic import AfterValidator, Field, SecretStr, StringConstraints
from pydantic_core import PydanticCustomError

from .characters import shows_something
from .emails import EMAIL_PATTERN, MAX_EMAIL_CHARACTERS, canonical_email

MAX_NAME_CHARACTERS = 100
MIN_PASSWORD_CHARACTERS = 8
MAX_PASSWORD_CHARACTERS = 1024

_CONTROL = r"\x00-\x1f\x7f-\x9f\u2028\u2029"
_NAME_PATTERN = rf"^[^\S{_CONTROL}]*[^\s{_CONTROL}][^{_CONTROL}]*$"
"""The white space at its ends is dropped, so one of white space alone is none."""
_WITHOUT_NUL = r"^[^\x00]*$"
_CONTROLS = re.compile(f"[{_CONTROL}]")
_SKIN_TONES = "\U0001f3fb\U0001f3fc\U0001f3fd\U0001f3fe\U0001f3ff"


def _is_name(value: str) -> str:
    if _CONTROLS.search(value):
        raise PydanticCustomError("control_character", "holds a control character or a line break")
    if not shows_something(value):
        raise PydanticCustomError("invisible", "shows nothing: it needs a letter, digit or sign")
    return value.strip()  # after its length was checked, which a schema knows as it is sent


def _is_email(value: str) -> str:
    address = canonical_email(value)
    if not address:
        raise PydanticCustomError(
            "email",
            "is not an e-mail address: name@host.domain, without spaces, invisible characters or two dots in a row",
        )
    return address


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
    password = normalize("NFC", _has_length(value, least=MIN_PASSWORD_CHARACTERS).get_secret_value())  # as it is hashed
    if len(password) < MIN_PASSWORD_CHARACTERS:
        raise PydanticCustomError("too_short", "has fewer than {least} characters", {"least": MIN_PASSWORD_CHARACTERS})
    if "\x00" in password:
        raise PydanticCustomError("control_character", "holds a NUL character")
    if _is_one_character(password):
        raise PydanticCustomError("one_character", "is one character, repeated")
    if normalize("NFKC", password).lower() in _common_passwords():
        raise PydanticCustomError("common_password", "is one of the commonest passwords, which are tried first")
    return value


def _is_one_character(password: str) -> bool:
    """Whether *password* is one character as people see it: in either case, in any width, with the same accents."""
    plain = normalize("NFKD", password).casefold()
    bases = {letter for letter in plain if category(letter)[0] not in "MC" and letter not in _SKIN_TONES}
    return len(bases or set(plain)) == 1


def is_own_email(password: SecretStr, email: str) -> bool:
    """Whether *password* is the address *email*, which is canonical, or what stands before its @, in any spelling."""
    given = password.get_secret_value()
    if len(given) > MAX_EMAIL_CHARACTERS:
        return False
    local = canonical_email(f"{given}@a.b").rpartition("@")[0]
    return canonical_email(given) == email or local == email.rpartition("@")[0]


Name = Annotated[
    str,
    StringConstraints(min_length=1, max_length=MAX_NAME_CHARACTERS),
    AfterValidator(_is_name),
    Field(
        description="For people; any script, no control characters, and not of invisible ones alone.",
        json_schema_extra={"pattern": _NAME_PATTERN},
    ),
]
Email = Annotated[
    str,
    StringConstraints(max_length=MAX_EMAIL_CHARACTERS),
    AfterValidator(_is_email),
    Field(
        description="Unique in any spelling; kept and returned in lower case, its domain in ASCII (IDNA).",
        json_schema_extra={"format": "email", "pattern": EMAIL_PATTERN},
    ),
]
Password = Annotated[
    SecretStr,
    AfterValidator(_is_password),
    Field(
        description="Never returned. Not one character repeated, nor one of the commonest passwords.",
        json_schema_extra={
            "minLength": MIN_PASSWORD_CHARACTERS,
            "maxLength": MAX_PASSWORD_CHARACTERS,
            "pattern": _WITHOUT_NUL,
        },
    ),
]
"""One to store."""
GivenPassword = Annotated[
    SecretStr,
    AfterValidator(_has_length),
    Field(description="Never returned.", json_schema_extra={"maxLength": MAX_PASSWORD_CHARACTERS}),
]
"""One to compare with what is stored, whatever it is."""
