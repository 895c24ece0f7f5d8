"""Secrets in free text that stand behind their name: `password=X`, `'token': 'X'`, `--api-key X`, `password%3DX`.

Every pattern takes time linear in the text: a name is tried where a word begins, and what was read is not read again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise

MASK = "***"
QUOTED_INPUT = "input_value"
"""Under this name pydantic's errors quote what did not fit, such as a password that is too short."""

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
_SHORT_NAMES = frozenset({"pass", "otp", "totp", "pin", "pw", "passcode"})
"""Secrets in an assignment; words like others elsewhere, so not as the name of a field."""
_PROSE = frozenset(
    {"a", "an", "and", "are", "be", "cannot", "empty", "expected", "expired", "for", "has", "in", "invalid", "is", "it"}
    | {"its", "malformed", "missing", "must", "no", "not", "of", "or", "rejected", "required", "set", "the", "this"}
    | {"to", "too", "unknown", "unset", "was", "will", "wrong"}
)
"""After a colon, the beginning of a sentence about the secret: `API_SECRET: not set, so ...`."""

_DECIDING_CHARACTERS = 64
"""So much of a value tells whether it is a secret."""

_PERCENT = r"%(?:25){0,2}"
_NAME = (
    r"[\w.-]{0,100}?(?:passw|passphrase|passcode|pwd|secret|token|authori[sz]ation|cookie|credential|dsn|input_value|"
    r"(?:api|access|private|signing|encryption|master|account|shared)[_.-]?key|pass|otp|pin|pw|auth)[\w.-]{0,40}"
)
_NAMED = re.compile(
    rf"""
    (?<![\w.-])(?P<name>{_NAME})
    (?P<gap>\\{{0,3}}["']?\s{{0,3}}[=:]>?\s{{0,3}} | ["']\s{{0,3}},\s{{0,3}}(?=b?["']) | \s{{1,3}}(?=["'])
          | (?:{_PERCENT}2[027]){{0,3}}{_PERCENT}3[ADad](?:{_PERCENT}2[027]){{0,3}})
    """,
    re.IGNORECASE | re.VERBOSE,
)
_VALUE = re.compile(
    r"""
      b?\\{1,3}["'][^"']{0,4096}["']?
    | b?"(?:[^"\\]|\\.){0,4096}"?
    | b?'(?:[^'\\]|\\.){0,4096}'?
    | [\[({][^\])}]{0,4096}[\])}]?
    | [^\s,;&"'<>]+
    """,
    re.VERBOSE,
)
_ENCODED_VALUE = re.compile(rf"(?:(?!{_PERCENT}2[267cC])[^\s,;&\"'<>])+")
_OPTION = re.compile(r"(?<![\w-])(--?[a-zA-Z][\w-]{0,100})(\s{1,3})(?!-)(\"[^\"]{0,4096}\"?|'[^']{0,4096}'?|[^\s\"']+)")


@lru_cache(maxsize=2048)
def is_secret_name(name: str) -> bool:
    """Tell whether a field called *name* holds a secret: `access_token` does, `tokens_used` and `token_type` do not."""
    if name == QUOTED_INPUT:
        return True
    words = _words(name)
    if not words or words[-1] in _HARMLESS_ENDINGS:
        return False
    if any(_SECRET_WORDS.search(word) for word in words):
        return True
    return any(kind in _KEY_KINDS and word in {"key", "keys"} for kind, word in pairwise(words))


def is_plural_count(name: str, value: object) -> bool:
    """`prompt_tokens=12` is a number of tokens; `password=12` is a password."""
    return isinstance(value, (int, float)) and name.lower().endswith("tokens")


def mask_assignments(text: str) -> str:
    """*text* with `***` in place of each value behind the name of a secret."""
    if " --" in text or text.startswith("--"):
        text = _OPTION.sub(_option, text)
    return "".join(_masked(text))


def _masked(text: str) -> Iterator[str]:
    """Yield the parts of *text*; the search goes on inside of a value that is shown."""
    shown = 0
    for match in _NAMED.finditer(text):
        if match.start() < shown:
            continue
        name, gap = match.group("name", "gap")
        if text[match.start() - 1 : match.start()] == "%":
            name = name[2:]  # the digits of an escape
        pattern = _ENCODED_VALUE if gap.startswith("%") else _VALUE
        begun = pattern.match(text, match.end(), match.end() + _DECIDING_CHARACTERS)
        # Only what is masked is read to its end, so that nothing is read twice.
        if begun is None or not _hides(name, gap, begun.group()):
            continue
        value = pattern.match(text, match.end()) or begun
        yield text[shown : match.end()]
        quote_mark = value.group()[-1] if value.group()[-1] in "\"'" else ""
        yield f"{quote_mark}{MASK}{quote_mark}"
        shown = value.end()
    yield text[shown:]


def _hides(name: str, gap: str, value: str) -> bool:
    """Whether *value*, behind *gap* and *name*, is a secret."""
    if value in {"None", "null", "True", "true", "False", "false"}:
        return False
    if gap.strip() == ":" and gap != ":" and value.rstrip(".,;:!").lower() in _PROSE:
        return False
    if is_secret_name(name):
        return not (value.isdigit() and is_plural_count(name, int(value[:9])))
    last = (_words(name) or [""])[-1]
    if last == "auth":
        return value[0] in "([{"
    return last in _SHORT_NAMES and (":" not in gap or gap[0] in "\"'\\" or any(map(str.isdigit, value)))


def _option(match: re.Match[str]) -> str:
    name, gap, value = match.groups()
    last = (_words(name) or [""])[-1]
    return f"{name}{gap}{MASK}" if is_secret_name(name) or last in _SHORT_NAMES else f"{name}{gap}{value}"


def _words(name: str) -> list[str]:
    return [word.lower() for word in _WORDS.findall(name[:256])]
