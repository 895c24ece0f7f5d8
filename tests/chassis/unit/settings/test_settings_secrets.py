"""Whatever a secret looks like, it is in no message and in no masked line."""

from __future__ import annotations

import string
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acme_service.chassis.settings import SettingsError, masked_lines, secret_values

from ...environment import load_settings

NOWHERE = Path("/there-is-no-such-directory")
MARK = "\N{SNOWMAN}"
"""Every second character of a secret, so that any part of it is recognised."""
CHARACTERS = st.one_of(st.sampled_from("@:/?#%&[] +\n\\'\""), st.characters(codec="utf-8", exclude_characters="\x00="))
RAW = st.lists(CHARACTERS, min_size=3, max_size=20).map(lambda found: MARK + MARK.join(found) + MARK)
PLAIN = st.text(string.ascii_letters + string.digits, min_size=5, max_size=40).map("Zq{}".format)
ADDRESSES = [
    "{}",
    "postgresql://user:{}@db.internal/service",
    "postgresql://{}@db.internal",
    "postgresql://user:{}@db.internal:port/service",
    "postgresql+asyncpg://user:{}@db.internal/service",
    "mysql://user:{}@db.internal/service",
    "postgresql://db.internal/service?password={}",
    "postgresql://db.internal/service?password=x&{}=x",
    "postgresql://db.internal/service?password=x&sslmode={}",
    "redis://:{}@cache/zero",
]


def said(variable: str, value: str) -> str:
    """Everything that an operator is told when *variable* is *value*."""
    lines = []
    for app_env in ("development", "production"):
        try:
            built = load_settings({"APP_ENV": app_env, "ALLOWED_HOSTS": "a.example", variable: value}, NOWHERE)
        except SettingsError as error:
            lines += [str(error), repr(error), *map(repr, error.problems)]
        else:
            lines += [*masked_lines(built), *built.warnings, repr(built)]
    return "\n".join(lines)


@pytest.mark.parametrize("variable", ["DATABASE_URL", "REDIS_URL"])
@pytest.mark.parametrize("address", ADDRESSES)
@settings(max_examples=25, deadline=None, database=None)
@given(secret=RAW)
def test_no_part_of_a_secret_is_shown_however_it_was_written(variable: str, address: str, secret: str) -> None:
    assert MARK not in said(variable, address.replace("{}", secret))


@pytest.mark.parametrize(
    ("variable", "address"),
    [
        ("DATABASE_URL", "postgresql://user:{}@db.internal:5432/service?sslmode=require"),
        ("DATABASE_URL", "postgresql://user@db.internal/service?sslmode=require&password={}&connect_timeout=2"),
        ("REDIS_URL", "redis://:{}@cache:6379/1"),
        ("REDIS_URL", "rediss://user:{}@cache"),
        ("REDIS_URL", "unix:///run/redis?db=1&password={}"),
    ],
)
@settings(max_examples=25, deadline=None, database=None)
@given(secret=st.one_of(PLAIN, RAW))
def test_an_accepted_address_is_shown_without_its_password_and_otherwise_whole(
    variable: str, address: str, secret: str
) -> None:
    written = quote(secret, safe="")
    text = said(variable, address.replace("{}", written))

    assert written not in text
    assert f"{variable}={address.replace('{}', '***')}" in text


@settings(max_examples=25, deadline=None, database=None)
@given(secret=RAW)
def test_the_log_is_told_the_password_as_it_is_written_and_as_it_is_sent(secret: str) -> None:
    secret = f"{secret}-5aXk9"
    written = quote(secret, safe="")
    built = load_settings({"DATABASE_URL": f"postgresql://user:{written}@db.internal/service"}, NOWHERE)

    assert [written, secret] == list(secret_values(built))


def test_a_sample_password_is_an_ordinary_word_for_the_log() -> None:
    built = load_settings({"DATABASE_URL": "postgresql://postgres:postgres@localhost/service"}, NOWHERE)

    assert [] == list(secret_values(built))
