"""E-mail addresses: the one spelling under which each is kept and looked up, and what is none.

The part before the @ is a dot-atom (RFC 5321, section 4.1.2; RFC 6531 for other scripts) whose letters are those of
RFC 8264's IdentifierClass; the domain is kept as the A-labels of IDNA 2008, mapped as UTS 46 does, non-transitional.
"""

from __future__ import annotations

import re
from unicodedata import category, normalize

# Not when the first address asks for it: reading its tables takes 20 ms.
import idna

from .characters import is_invisible

MAX_EMAIL_CHARACTERS = 254
"""RFC 5321, section 4.5.3.1.3, in octets, as the next; the same for what people type."""
MAX_LOCAL_BYTES = 64

_ATEXT = frozenset("abcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-/=?^_`{|}~")
_LETTERS = frozenset({"Ll", "Lu", "Lo", "Lm", "Mn", "Mc", "Nd"})
_LABEL = re.compile(r"(?!..--)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_DOTS = frozenset(".\u3002\uff0e\uff61")
_KEPT = {"\u00df": "\u00df", "\u03c2": "\u03c2", "\u1e9e": "\u00df", **dict.fromkeys(_DOTS, ".")}
"""What UTS 46 maps otherwise than by compatibility and case: sharp s, final sigma, dots."""

_ATOM = r"[^\s\x00-\x20\x7f-\xa0\"(),.:;<>@\[\\\]]+"
_PART = r"[^@\s.\x00-\x1f\x7f-\x9f]+"
EMAIL_PATTERN = rf"^{_ATOM}(\.{_ATOM})*@{_PART}(\.{_PART})+$"
"""For the schema that clients read; `canonical_email` asks for more."""


def canonical_email(address: str) -> str:
    """*address* in the one spelling that stands for all of its spellings; empty if it is no address.

    One spelling for each letter case, for composed and decomposed accents, and for a domain in its own script or in
    ASCII. Whatever reads an address goes by it, so who may be stored may also be found.
    """
    if len(address) > MAX_EMAIL_CHARACTERS:
        return ""
    given_local, at, given_domain = address.rpartition("@")
    local, domain = _local(given_local), _domain(given_domain)
    canonical = f"{local}@{domain}"
    return canonical if at and local and domain and len(canonical.encode()) <= MAX_EMAIL_CHARACTERS else ""


def _local(text: str) -> str:
    if any(map(is_invisible, text)):
        return ""
    folded = text.lower() if text.isascii() else _folded(text)
    sound = all(map(_is_atom, folded.split("."))) and len(folded.encode()) <= MAX_LOCAL_BYTES
    return folded if sound else ""


def _folded(text: str) -> str:
    """*text* in lower case and composed (NFC), letter by letter, and a letter stays one.

    `lower` would write a capital sigma by its place in the word, and `casefold` would write ß as ss, which may be
    another person's address, and mail is sent to what is kept.
    """
    letters = [(letter.casefold(), letter.lower()) for letter in normalize("NFC", text)]
    return normalize("NFC", "".join(fold if len(fold) == 1 else lower for fold, lower in letters))


def _is_atom(text: str) -> bool:
    """Whether *text* may stand between two dots; a mark at its begin would be drawn over the dot."""
    return bool(text) and category(text[0])[0] != "M" and all(map(_is_atom_character, text))


def _is_atom_character(character: str) -> bool:
    """A letter, mark or digit that is not a variant of another, such as those of full width; in ASCII, signs too."""
    if character.isascii():
        return character in _ATEXT
    return category(character) in _LETTERS and normalize("NFKC", character) == character


def _domain(text: str) -> str:
    labels = (text.lower() if text.isascii() else _mapped(text)).split(".")
    if len(labels) == 1:
        return ""
    if not all(map(_LABEL.fullmatch, labels)):
        try:
            labels = idna.encode(".".join(labels)).decode("ascii").split(".")
        except UnicodeError:  # of which IDNAError is one
            return ""
    # No top-level domain begins with a digit: the domain would be an IPv4 address. A last dot leaves an empty label.
    return ".".join(labels) if labels[-1][:1].isalpha() else ""


def _mapped(text: str) -> str:
    """As UTS 46 maps it, but for what it drops, which shows nothing, and what it rejects: `idna.encode` rejects both.

    `idna` can do it as well, with tables of 13 MB that take 60 ms to read.
    """
    mapped = [_KEPT.get(character) or normalize("NFKC", normalize("NFKC", character).casefold()) for character in text]
    if any(not _DOTS.isdisjoint(new) and old not in _DOTS for old, new in zip(text, mapped, strict=True)):
        return ""  # one that would be taken apart
    return normalize("NFC", "".join(mapped))
