"""What counts as a secret in a log line, and what stands in its place.

Masking is in two steps, because nearly every line is clean: `Masker.suspects` looks for a dozen words in the
serialised line (about 1 us), and only a line that holds one is taken apart by `Masker.masked`. Whatever `masked` hides,
`suspects` must notice first.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from itertools import pairwise
from urllib.parse import quote, unquote

import orjson

MASK = "***"
_QUOTED_INPUT = "input_value"
"""Under this name pydantic's errors quote what did not fit, such as a password that is too short."""
_LONGEST_SCANNED = 65_536
_SHORTEST_SECRET = 6
_NOT_SECRETS = frozenset({"postgres", "password", "secret", "default", "localhost"})
"""Passwords of development databases that are also words; hiding them would garble every line that mentions them."""

_WORDS_AND_SLASHES = re.compile(r"[\w/.~%-]*", re.ASCII)
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_SECRET_WORDS = re.compile(
    r"(?:passw(?:or)?ds?|passphrases?|pwd|secrets?|tokens?|authori[sz]ation|cookies?|credentials?|apikeys?|dsn)$"
)
_KEY_KINDS = frozenset({"api", "access", "private", "secret", "signing", "encryption", "master", "account", "shared"})
_HARMLESS_ENDINGS = frozenset(
    {"age", "algorithm", "at", "bucket", "count", "counts", "expired", "expires", "file", "in", "kind", "length"}
    | {"limit", "limits", "max", "min", "name", "names", "path", "policy", "present", "seconds", "size", "status"}
    | {"total", "ttl", "type", "uri", "used", "valid", "version"}
)

_SENSITIVE_NAME = (
    r"[\w.-]{0,100}?(?:passw|passphrase|pwd|secret|token|authori[sz]ation|cookie|credential|dsn|input_value|"
    r"(?:api|access|private|signing|encryption|master|account|shared)[_.-]?key)[\w.-]{0,40}"
)
_ASSIGNMENT = re.compile(
    rf"""
    (?<![\w.-])(?P<name>{_SENSITIVE_NAME})
    (?P<gap>\\{{0,3}}["']?\s{{0,3}}[=:]>?\s{{0,3}} | ["']\s{{0,3}},\s{{0,3}}(?=b?["']))
    (?P<value>b?\\{{1,3}}["'][^"']{{0,4096}}["']?
            | b?"(?:[^"\\]|\\.){{0,4096}}"?
            | b?'(?:[^'\\]|\\.){{0,4096}}'?
            | [\[({{][^\])}}]{{0,4096}}[\])}}]?
            | [^\s,;&"'<>]+)
    """,
    re.IGNORECASE | re.VERBOSE,
)
_HEADER_LINE = re.compile(r"(?i)\b((?:set-)?cookie2?|(?:proxy-)?authorization)(\s{0,3}:\s{0,3})[^\r\n\"']{1,8192}")
_PRIVATE_KEY = re.compile(r"(-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----).{0,16384}?(?:-----END|\Z)", re.DOTALL)
_URL_PASSWORD = re.compile(r"(://[^\s:/?#@\"'<>]{0,256}):(?!\d{1,5}(?:[/?#]|$))[^\s\"'<>]{1,512}@")
_URL_TOKEN = re.compile(r"://[^\s:/?#@\"'<>]{16,512}@")
_SCHEME = re.compile(r"\b((?i:bearer|basic)\s{1,3})(?:(?=[\w.~+/-]+?[A-Z0-9+/=_])[\w.~+/=-]{6,}|[\w.~+/=-]{20,})")
_JWT = re.compile(r"eyJ[\w-]{5,}\.[\w-]{4,}(?:\.[\w-]*)?")
_HASH = re.compile(r"\$(?:argon2\w{1,2}|2[aby]|scrypt)\$[\w$=,+/.-]+")


@lru_cache(maxsize=2048)
def is_secret_name(name: str) -> bool:
    """Tell whether a field called *name* holds a secret: `access_token` does, `tokens_used` and `token_type` do not."""
    if name == _QUOTED_INPUT:
        return True
    words = [word.lower() for word in _WORDS.findall(name[:128])]
    if not words or words[-1] in _HARMLESS_ENDINGS:
        return False
    if any(_SECRET_WORDS.search(word) for word in words):
        return True
    return any(kind in _KEY_KINDS and word in {"key", "keys"} for kind, word in pairwise(words))


def _is_plural_count(name: str, value: object) -> bool:
    """`prompt_tokens=12` is a number of tokens; `password=12` is a password."""
    return isinstance(value, (int, float)) and name.lower().endswith("tokens")


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
            text = _URL_TOKEN.sub(f"://{MASK}@", _URL_PASSWORD.sub(rf"\1:{MASK}@", text))
        if "-----" in text:
            text = _PRIVATE_KEY.sub(rf"\1{MASK}", text)
        if ":" in text:
            text = _HEADER_LINE.sub(rf"\1\2{MASK}", text)
        if "bearer" in lowered or "basic" in lowered:
            text = _SCHEME.sub(rf"\1{MASK}", text)
        if "eyj" in lowered:
            text = _JWT.sub(MASK, text)
        if "$" in text:
            text = _HASH.sub(MASK, text)
        return self._assignments(text)

    def _assignments(self, text: str) -> str:
        if "=" in text or ":" in text or "," in text:
            return _ASSIGNMENT.sub(self._assignment, text)
        return text

    def _assignment(self, match: re.Match[str]) -> str:
        name, gap, value = match.group("name", "gap", "value")
        if not is_secret_name(name) or (value.isdigit() and _is_plural_count(name, int(value[:9]))):
            return name + gap + self._assignments(value)
        if value in {"None", "null", "True", "true", "False", "false"}:
            return match.group()
        quote_mark = value[-1] if value[-1] in "\"'" else ""
        return f"{name}{gap}{quote_mark}{MASK}{quote_mark}"

    def _name(self, name: str) -> str:
        return name if self.clears(name) else self.text(name)

    def _field(self, name: str, value: object) -> object:
        if not is_secret_name(name) or value is None or isinstance(value, bool) or _is_plural_count(name, value):
            return self.masked(value)
        return MASK

    def _pair(self, items: list[object]) -> list[object] | None:
        """Mask a header as frameworks keep it, `["cookie", "a=b"]`; anything else is no pair."""
        match items:
            case [str() as name, str()] if is_secret_name(name):
                return [name, MASK]
        return None


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
