"""Characters that show nothing: in an address they make two of what looks like one, in a name they hide its owner."""

from __future__ import annotations

from unicodedata import category

_IGNORABLE = frozenset(
    map(
        chr,
        (
            0x34F,  # combining grapheme joiner
            *(0x115F, 0x1160, 0x3164, 0xFFA0),  # Hangul fillers
            *(0x17B4, 0x17B5),  # Khmer inherent vowels
            *range(0x180B, 0x1810),  # Mongolian variation selectors
            *range(0xFE00, 0xFE10),  # variation selectors
            *range(0xE0100, 0xE01F0),
        ),
    )
)
"""Letters and marks that no font draws: Default_Ignorable_Code_Point (UAX 44), without what category C holds."""

_BLANK = _IGNORABLE | frozenset("\u2800\ufffc\U00013441\U00013442\U00016fe4\U0001d159")
"""And those that are drawn, as nothing: the Braille cell without dots, an object's place, blank glyphs and notes."""


def is_invisible(character: str) -> bool:
    """Whether *character* is white space, a control, format or private one, unassigned, or a letter without a shape."""
    return category(character)[0] in "CZ" or character in _IGNORABLE


def shows_something(text: str) -> bool:
    """Whether *text* has a letter, digit, sign or symbol with a shape; a mark alone has none to stand on."""
    return any(category(character)[0] in "LNPS" and character not in _BLANK for character in text)
