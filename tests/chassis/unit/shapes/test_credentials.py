"""Which e-mail addresses are one, and which are none; what is wrong with a name or a password."""

from __future__ import annotations

import re
import sys
from unicodedata import normalize

import idna
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, SecretStr, ValidationError

from acme_service.chassis.shapes import Email, Name, Password, canonical_email, is_own_email
from acme_service.chassis.shapes.characters import is_invisible


class Contact(BaseModel):
    email: Email


class Login(BaseModel):
    password: Password


class Person(BaseModel):
    name: Name


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
        (["a@Bücher.Example", "A@BÜCHER.EXAMPLE", "a@xn--bcher-kva.example"], "a@xn--bcher-kva.example"),
        (["a@straße.de", "a@STRAẞE.de", "a@xn--strae-oqa.de"], "a@xn--strae-oqa.de"),
        (["a@\uff25\uff38ample\uff0ecom", "a@example。com", "a@example｡com"], "a@example.com"),
        (["a@\u212aelvin.org", "\u212a@kelvin.org"][:1], "a@kelvin.org"),
        (["a@\u0646\u0627\u0645\u0647\u200c\u0627\u06cc.com"], "a@xn--mgba3gch31f060k.com"),
        (["a@l·l.com"], "a@xn--ll-0ea.com"),
    ],
)
def test_an_address_is_kept_in_one_spelling(spellings: list[str], address: str) -> None:
    assert [address] * len(spellings) == [kept(spelling) for spelling in spellings]
    assert address == kept(address)


ADDRESSES = [
    *("a@b.c", "a.b+c@d-e.f.g", "用户@例え.jp", "иван.петров@почта.рф", "!#$%&'*+-/=?^_`{|}~@b.c", "a@b.xn--p1ai"),
    *("a" * 64 + "@b.c", "ü" * 32 + "@b.c", "a@" + "b" * 63 + ".c", "٣@b.c", "नमस्ते@b.c", "a@1.2.3.c"),
]
NO_ADDRESSES = [
    *("a@b", "@b.c", "a@", "a@@b.c", "a@b..com", "a@.b.com", "a@b.com.", "a b@c.d", "a@b\u2003.c", "a@b.\x85"),
    *("..@b.c", ".a@b.c", "a.@b.c", "a..b@b.c", '"a"@b.c', "a(b)@b.c", "a,b@b.c", "a\\b@b.c", "<a@b.c>"),
]
LOOKS_LIKE_AN_ADDRESS = [
    *(
        "a@[1.2.3.4]",
        "a@1.2.3.4",
        "a@b.1",
        "a@b.0x1f",
        "a@b_c.d",
        "a@-b.c",
        "a@b-.c",
        "a@ab--c.d",
        "a@xn--a.de",
        "a@xn--ls8h.la",
    ),
    *("a" * 65 + "@b.c", "ü" * 33 + "@b.c", "a@" + "b" * 64 + ".c", "a@" + "ü.c" * 60),
    *(
        "\uff41@b.c",
        "ﬁ@b.c",
        "a²@b.c",
        "a♥@b.c",
        "\u0301a@b.c",
        "a.\u0301b@b.c",
        "a·b@b.c",
        "a@♥.c",
        "a@b\u2024c",
        "a@⒈com",
    ),
    *("a\uff20b.c@d.e", "a@b\uff20c.d", "a@א1a.c", "a@b\u200dc.d", "a@\u0301b.c"),
]
"""They match the pattern, which cannot say it all."""


def test_the_pattern_of_the_document_says_what_is_accepted() -> None:
    pattern = Contact.model_json_schema()["properties"]["email"]["pattern"]

    assert ADDRESSES == [address for address in [*ADDRESSES, *NO_ADDRESSES] if re.search(pattern, address)]


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_address_is_accepted(address: str) -> None:
    assert kept(address).startswith(f"{address.partition('@')[0]}@")
    assert kept(address) == kept(kept(address))


@pytest.mark.parametrize("address", [*NO_ADDRESSES, *LOOKS_LIKE_AN_ADDRESS])
def test_what_is_no_address_is_rejected(address: str) -> None:
    with pytest.raises(ValidationError, match="is not an e-mail address"):
        kept(address)


@pytest.mark.parametrize(
    ("password", "words"),
    [
        ("x1" * 3, "has fewer than 8 characters"),
        ("e\u0301" * 4, "has fewer than 8 characters"),
        ("x" * 1025, "has more than 1024 characters"),
        ("password1", "common"),
        ("\uff30\uff21\uff33\uff33\uff37\uff2f\uff32\uff24\uff11", "common"),
        ("        ", "one character"),
        ("xxxxxxxxX", "one character"),
        ("\uff58xX\uff38x́X̀xx", "one character"),
        ("👍🏽👍🏿👍👍👍👍👍", "one character"),
        ("\u200d" * 9, "one character"),
        ("ß" * 9, "one character"),
        ("\x00passphrase", "NUL"),
    ],
)
def test_a_password_that_is_rejected_is_told_why(password: str, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Login.model_validate({"password": password})


@pytest.mark.parametrize("password", ["xxxxxxxy", "xxxxxxx ", "        x", "^`^`^`^`", "\u0300\u0301" * 4])
def test_two_characters_are_not_one(password: str) -> None:
    assert password == Login.model_validate({"password": password}).password.get_secret_value()


@pytest.mark.parametrize(
    ("password", "own"),
    [
        *((text, True) for text in ("josé@münchen.de", "JOSE\u0301@xn--mnchen-3ya.DE", "José", "JOSE\u0301")),
        *(
            (text, False)
            for text in ("jose@münchen.de", "josé@munchen.de", "josé!", "", "x" * 1000, "@xn--mnchen-3ya.de")
        ),
    ],
)
def test_an_address_as_a_password_is_recognised_in_every_spelling(password: str, *, own: bool) -> None:
    assert own == is_own_email(SecretStr(password), canonical_email("josé@münchen.de"))


INVISIBLE = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u180b\u180e\u180f\u200b\u200c\u200d\u200e\u202e\u2060\u2066\u206f\u3164\ue000\ufe0f"
    "\ufeff\uffa0\ufff9\U0001d173\U000e0061\U000e0101\U000f0000\u0378\u00a0\u1680\u2003\u202f\u3000"
)


@pytest.mark.parametrize("character", INVISIBLE)
def test_a_character_that_shows_nothing_is_in_no_address(character: str) -> None:
    places = ("{}a@b.c", "a{}b@b.c", "a{}@b.c", "a@{}b.c", "a@b{}b.c", "a@b.c{}", "a{}@b.c", "a@b{}.c")

    assert {""} == {canonical_email(place.format(character)) for place in places}


@pytest.mark.parametrize("character", [*INVISIBLE, "\u2800", "\ufffc", "\u0301", "\U0001d159", " "])
def test_a_name_that_shows_nothing_is_rejected(character: str) -> None:
    with pytest.raises(ValidationError):
        Person(name=character * 3)


@pytest.mark.parametrize("name", ["A", "李", "é", "e\u0301", "👩\u200d🚀", "7", "?", "O\u00adNeill", "\u202bעדה", "नि"])
def test_a_name_of_any_script_is_accepted(name: str) -> None:
    assert name == Person(name=name).name


def test_every_character_is_mapped_in_a_domain_as_uts_46_maps_it() -> None:
    """But for those that show nothing: the mapping drops them, and we reject them."""
    other = []
    for character in map(chr, range(sys.maxunicode + 1)):
        if is_invisible(character):
            continue
        for domain in (f"a{character}b.com", f"{character}.com"):
            try:
                mapped = idna.encode(domain, uts46=True, std3_rules=True).decode()
            except UnicodeError:
                mapped = ""
            if canonical_email(f"a@{domain}").removeprefix("a@") != mapped:
                other.append((ascii(character), domain, mapped))

    assert [] == other


@settings(max_examples=1000, deadline=None, database=None)
@given(st.text(st.characters(codec="utf-8"), max_size=12), st.text("aä.-x\u0301ß\uff58。\u06271", max_size=12))
@example("\u0345", "")
@example("İ", "")
def test_an_address_has_one_spelling_and_that_is_accepted_again(local: str, domain: str) -> None:
    address = f"{local}@{domain}.example"
    kept_address = canonical_email(address)

    assert kept_address == canonical_email(kept_address)
    if kept_address:
        assert kept_address.rpartition("@")[2].isascii()
        for form in ("NFC", "NFD"):
            assert kept_address == canonical_email(normalize(form, address))
        assert kept_address == kept(address)


def test_clients_learn_the_length_of_a_password_from_the_schema() -> None:
    password = Login.model_json_schema()["properties"]["password"]

    assert (8, 1024) == (password["minLength"], password["maxLength"])


@pytest.mark.parametrize(
    "text", ["pass\x00phrase", "\x00passphrase", "a passphrase", "pass\nphrase", "pass\x1fphrase\n"]
)
def test_the_pattern_of_a_password_says_what_is_accepted(text: str) -> None:
    pattern = Login.model_json_schema()["properties"]["password"]["pattern"]

    assert accepted(Login, "password", text) is (re.search(pattern, text) is not None)


@pytest.mark.parametrize(
    "text",
    [
        *("Ada", " Ada ", "\u00a0Ada\u3000", "Ada Lovelace", "\u05e2\u05d3\u05d4", "7"),
        *("", " ", "\u00a0\u3000", "\x00", "A\x00", "A\x1fB", "A\x85B", "A\nB", "A\u2028B"),
    ],
)
def test_the_pattern_of_a_name_says_what_is_accepted(text: str) -> None:
    pattern = Person.model_json_schema()["properties"]["name"]["pattern"]

    assert accepted(Person, "name", text) is (re.search(pattern, text) is not None)


def accepted(model: type[BaseModel], field: str, text: str) -> bool:
    try:
        model.model_validate({field: text})
    except ValidationError:
        return False
    return True


def test_a_name_has_its_length_as_it_is_sent_and_is_kept_without_the_space_around_it() -> None:
    assert "A" * 98 == Person(name=f" {'A' * 98} ").name
    for name in (f" {'A' * 100}", f"{'A' * 100} "):
        with pytest.raises(ValidationError, match="at most 100 characters"):
            Person(name=name)
