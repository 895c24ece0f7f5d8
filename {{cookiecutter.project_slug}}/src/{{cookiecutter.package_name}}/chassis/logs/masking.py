"""What counts as a secret in a log line, and what stands in its place.

Masking is in two steps, because nearly every line is clean: `Masker.suspects` looks for a dozen words in the
serialised line (about 1 us), and only a line that holds one is taken apart by `Masker.masked`. Whatever `masked` hides,
`suspects` must notice first.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import quote, unquote

import orjson

from .assignments import MASK, is_plural_count, is_secret_name, mask_assignments

_LONGEST_SCANNED = 65_536
_SHORTEST_SECRET = 6
_NOT_SECRETS = frozenset({"postgres", "password", "secret", "default", "localhost"})
"""Passwords of development databases that are also words; hiding them would garble every line that mentions them."""

_WORDS_AND_SLASHES = re.compile(r"[\w/.~-]*", re.ASCII)
_HEADER_LINE = re.compile(r"(?i)\b((?:set-)?cookie2?|(?:proxy-)?authorization)(\s{0,3}:\s{0,3})[^\r\n\"']{1,8192}")
_PRIVATE_KEY = re.compile(r"(-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----)(?:[^-]++|-(?!----END))*+(?:-----END)?")
"""To its end, or to that of the text: a key without one would be looked for again at each beginning."""
_URLS = re.compile(r"://[^\s\"'<>]++")
"""All that may belong to an address, and to others that follow without a space."""
_USER = re.compile(r"[^:/?#@]{0,512}")
_PORT = re.compile(r"\d{1,5}(?:[/?#]|\Z)")
_SHORTEST_URL_TOKEN = 16
_SCHEME = re.compile(r"\b((?i:bearer|basic)\s{1,3})(?:(?=[\w.~+/-]+?[A-Z0-9+/=_])[\w.~+/=-]{6,}|[\w.~+/=-]{20,})")
_JWT = re.compile(r"eyJ[\w-]{5,}+(\.[\w-]{4,}+(?:\.[\w-]*+)?)?")
"""With the dots that make it one, or a word that only begins so: it is read once, not again from each `eyJ` in it."""
_HASH = re.compile(r"\$(?:argon2\w{1,2}|2[aby]|scrypt)\$[\w$=,+/.-]+")


class Masker:
    """Hides the given *secrets*, and whatever looks like one.

    A secret shorter than six characters is not searched for: it would hide parts of ordinary words.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        spellings = sorted({text for secret in secrets for text in _spellings(secret)}, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, spellings)), re.IGNORECASE) if spellings else None
        self._needles = tuple({_serialised(text).lower() for text in spellings})

    def suspects(self, line: bytes) -> bool:
        """Tell whether *line*, serialised JSON, may hold a secret; `False` is certain."""
        # One `in` on str costs half of one on bytes, and a regular expression of these words eight times as much.
        return self._suspicious(line.decode("latin-1").lower())

    def clears(self, text: str) -> bool:
        """Tell whether *text* is for certain without a secret, as nearly every path is; quicker than `suspects`."""
        return _WORDS_AND_SLASHES.fullmatch(text) is not None and not ("eyJ" in text or self._knows(text.lower()))

    def _suspicious(self, lowered: str) -> bool:
        return (
            "pass" in lowered
            or "secret" in lowered
            or "token" in lowered
            or "key" in lowered
            or "auth" in lowered
            or "cookie" in lowered
            or "credential" in lowered
            or "eyj" in lowered
            or "bearer" in lowered
            or "basic" in lowered
            or "pwd" in lowered
            or "dsn" in lowered
            or "otp" in lowered
            or "pin=" in lowered
            or "pw=" in lowered
            or "input_value" in lowered
            or "$" in lowered
            or ("://" in lowered and "@" in lowered)
            or self._knows(lowered)
        )

    def _knows(self, lowered: str) -> bool:
        for needle in self._needles:  # noqa: SIM110 - any() costs four times as much, on every line
            if needle in lowered:
                return True
        return False

    def masked(self, value: object) -> object:
        """Return *value*, the plain lists, dicts and scalars of parsed JSON, with every secret replaced."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self._name(name): self._field(name, item) for name, item in value.items()}
        if isinstance(value, list):
            return self._pair(value) or [self.masked(item) for item in value]
        return value

    def text(self, text: str) -> str:
        """Return *text* with every secret in it replaced; what lies beyond 65,536 characters is cut off."""
        text = text[:_LONGEST_SCANNED]
        if self._known is not None:
            text = self._known.sub(MASK, text)
        lowered = text.lower()
        if not self._suspicious(lowered):
            return text
        if "://" in text:
            text = _URLS.sub(_without_password, text)
        if "-----" in text:
            text = _PRIVATE_KEY.sub(rf"\1{MASK}", text)
        if ":" in text:
            text = _HEADER_LINE.sub(rf"\1\2{MASK}", text)
        if "bearer" in lowered or "basic" in lowered:
            text = _SCHEME.sub(rf"\1{MASK}", text)
        if "eyj" in lowered:
            text = _JWT.sub(lambda match: MASK if match[1] else match[0], text)
        if "$" in text:
            text = _HASH.sub(MASK, text)
        return mask_assignments(text)

    def _name(self, name: str) -> str:
        return name if self.clears(name) else self.text(name)

    def _field(self, name: str, value: object) -> object:
        if not is_secret_name(name) or value is None or isinstance(value, bool) or is_plural_count(name, value):
            return self.masked(value)
        return MASK

    def _pair(self, items: list[object]) -> list[object] | None:
        """Mask a header as frameworks keep it, `["cookie", "a=b"]`; anything else is no pair."""
        match items:
            case [str() as name, str()] if is_secret_name(name):
                return [name, MASK]
        return None


def _without_password(match: re.Match[str]) -> str:
    """The addresses of *match* with `***` for a password, or for a token in the user's place.

    Up to the last `@`, because an `@` in a password is often not escaped.
    """
    urls = match.group()
    end = urls.rfind("@")
    parts, shown, place = [], 0, 0
    while 0 <= place < end:
        user = _USER.match(urls, place + 3)
        assert user is not None  # noqa: S101 - it matches nothing too
        after = urls[user.end() : user.end() + 1]
        if after == ":" and not _PORT.match(urls, user.end() + 1):
            parts.append(f"{urls[shown : user.end()]}:{MASK}")
            shown = end
            break
        if after == "@" and len(user.group()) >= _SHORTEST_URL_TOKEN:
            parts.append(urls[shown : place + 3] + MASK)
            shown = user.end()
        place = urls.find("://", user.end())
    return "".join(parts) + urls[shown:]


def _spellings(secret: str) -> set[str]:
    """Every way *secret* may be written: as it is, percent-encoded, in a repr, inside JSON; and a URL's password."""
    texts = {secret, unquote(secret)}
    if found := re.search(r"://[^\s:/?#@]*:(.*)@", secret, re.DOTALL):
        texts |= {found[1], unquote(found[1])}
    texts |= {quote(text, safe="", errors="replace") for text in texts}
    texts |= {repr(text)[1:-1] for text in texts} | {_serialised(text) for text in texts}
    return {text for text in texts if len(text) >= _SHORTEST_SECRET and text.lower() not in _NOT_SECRETS}


def _serialised(text: str) -> str:
    return orjson.dumps(text.encode("utf-8", "replace").decode())[1:-1].decode("latin-1")
