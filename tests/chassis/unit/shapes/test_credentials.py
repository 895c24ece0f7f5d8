"""Which e-mail addresses are one, and which are none; what is wrong with a password."""

from __future__ import annotations

import re

import pytest
from pydantic import BaseModel, ValidationError

from acme_service.chassis.shapes import Email, Password


class Contact(BaseModel):
    email: Email


class Login(BaseModel):
    password: Password


def kept(address: str) -> str:
    return Contact(email=address).email


@pytest.mark.parametrize(
    ("spellings", "address"),
    [
        (["Ada@Example.com", "ADA@EXAMPLE.COM"], "ada@example.com"),
        (["ΟΔΟΣ@x.gr", "οδοσ@x.gr", "οδος@x.gr"], "οδοσ@x.gr"),
        (["jose\u0301@x.es", "jos\u00e9@x.es", "JOSE\u0301@x.es", "JOS\u00c9@x.es"], "jos\u00e9@x.es"),
        (["H\u0331@x.org", "\u1e96@x.org"], "\u1e96@x.org"),
        (["\u1fbc@x.gr", "\u03b1\u0345@x.gr"], "\u1fb3@x.gr"),
        (["STRAẞE@x.de", "straße@x.de"], "straße@x.de"),
        (["strasse@x.de"], "strasse@x.de"),
    ],
)
def test_an_address_is_kept_in_one_spelling(spellings: list[str], address: str) -> None:
    assert [address] * len(spellings) == [kept(spelling) for spelling in spellings]
    assert address == kept(address)


ADDRESSES = ["a@b.c", "a.b+c@d-e.f.g", "..@b.c", "用户@例え.jp", "a@1.2.3.4"]
NO_ADDRESSES = ["a@b", "@b.c", "a@", "a@@b.c", "a@b..com", "a@.b.com", "a@b.com.", "a b@c.d", "a@b\u2003.c", "a@b.\x85"]


def test_the_pattern_of_the_document_says_what_is_accepted() -> None:
    pattern = Contact.model_json_schema()["properties"]["email"]["pattern"]

    assert ADDRESSES == [address for address in [*ADDRESSES, *NO_ADDRESSES] if re.search(pattern, address)]


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_address_is_accepted(address: str) -> None:
    assert address == kept(address)


@pytest.mark.parametrize("address", NO_ADDRESSES)
def test_what_is_no_address_is_rejected(address: str) -> None:
    with pytest.raises(ValidationError, match="is not an e-mail address"):
        kept(address)


@pytest.mark.parametrize(
    ("password", "words"),
    [("x" * 7, "has fewer than 8 characters"), ("x" * 1025, "has more than 1024 characters"), ("password1", "common")],
)
def test_a_password_that_is_rejected_is_told_why(password: str, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Login.model_validate({"password": password})


def test_clients_learn_the_length_of_a_password_from_the_schema() -> None:
    password = Login.model_json_schema()["properties"]["password"]

    assert (8, 1024) == (password["minLength"], password["maxLength"])
