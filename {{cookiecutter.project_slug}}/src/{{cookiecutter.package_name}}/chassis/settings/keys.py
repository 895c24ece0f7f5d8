"""What makes a key that signs something guessable although it is long. No message shows a part of one."""

from __future__ import annotations

import re
from base64 import b64decode
from binascii import Error
from hashlib import sha256
from itertools import pairwise
from typing import Annotated

from pydantic import AfterValidator, SecretStr, ValidationInfo

from .secrets import weakness
from .values import Accepts, Insecure, environment_of

MIN_KEY_BYTES = 32
"""The size of the hash: a shorter key would weaken it (RFC 7518, section 3.2)."""
_PLACEHOLDER = re.compile(r"generate:\d+|<.*>|\$\{.*\}|\{\{.*\}\}", re.DOTALL)
_TELLTALE = re.compile(
    "changeit|changeme|changethis|default|donotuse|example|insecure|keyboard|longenough|password|passphrase|"
    "placeholder|please|production|qwerty|really|replace|sample|secret|signingkey|string|testkey|yourkey"
)
"""Among the letters of a key. The shortest is in one random key of a million."""
_PUBLISHED = frozenset(
    {
        "570dad43de1af4c925f92c16a68a5093",  # FastAPI, tutorial on OAuth2
        "2598f7d6adc142d88161630f3db12ab2",  # Flask, quick start
        "a59e993b12b84cd042858443749443fb",  # Hasura, examples
        "23b45abdbd667cd06c348b545de6a2fb",  # RFC 7515, appendix A.1
        "2b1fa627178e3424e20ffd0e18b7440c",  # Spring Security, tutorials, as the next ones
        "4c0bf08221f3d71e4ed7b093b627cc8d",
        "5df73e1aa59d8f332c2f5fd6ea1c37d0",
        "1a9009e718b3f9c9a913ddeff21ba663",
        "138e3c21f8c5581ec97cca6b029c0b23",
    }
)
"""Digests of keys that many copy: the key in lower case, without the padding of Base64 and in its first alphabet."""
_ROWS = ("1234567890", "qwertyuiop", "qwertzuiop", "azertyuiop", "asdfghjkl", "zxcvbnm", "yxcvbnm")
_NEIGHBOURS = frozenset(pair for row in _ROWS for pair in (*pairwise(row), *pairwise(row[::-1])))


def key_weakness(key: str, *, least: int) -> str | None:
    """Say why *key* can be guessed, to follow `it`; None when it has *least* characters and looks random.

    Besides what `weakness` finds: published keys, also when they are encoded, sentences, a block that is repeated,
    runs of the alphabet, of digits or of a keyboard.
    """
    if _PLACEHOLDER.fullmatch(key):
        return "is a placeholder"
    reason = weakness(key, least=least)
    if reason is not None:
        return reason
    if _is_published(key) or any(map(_is_sentence, (key, *_decoded(key)))):
        return "is a sample value"
    lower = key.lower()
    if _is_repeated(lower):
        return "is a block that is repeated"
    if _is_sequence(lower) or (_is_sequence(lower[::2]) and _is_sequence(lower[1::2])):
        return "is a sequence"
    return None


def _is_published(key: str) -> bool:
    plain = key.rstrip("=").lower().replace("-", "+").replace("_", "/")
    return sha256(plain.encode()).hexdigest()[:32] in _PUBLISHED


def _is_sentence(text: str) -> bool:
    return _TELLTALE.search(re.sub("[^a-z]", "", text.lower())) is not None


def _decoded(key: str) -> list[str]:
    """The texts that *key* may be the hexadecimal or Base64 form of; a random one hardly ever is that of a text."""
    texts = []
    for decode in (bytes.fromhex, lambda text: b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)):
        try:
            texts.append(decode(key).decode("ascii"))
        except (Error, ValueError):
            continue
    return texts


def _is_repeated(text: str) -> bool:
    """Whether *text* is a shorter one over and over, the last time perhaps in part.

    By the longest part that it both begins and ends with, for each of its beginnings (Knuth, Morris, Pratt).
    """
    borders = [0] * len(text)
    for place in range(1, len(text)):
        length = borders[place - 1]
        while length and text[place] != text[length]:
            length = borders[length - 1]
        borders[place] = length + (text[place] == text[length])
    return 2 * borders[-1] >= len(text)


def _is_sequence(text: str) -> bool:
    """Whether most of *text* follows from the character before: the same, the next or the last, or a key beside it."""
    jumps = sum(abs(ord(a) - ord(b)) > 1 and (a, b) not in _NEIGHBOURS for a, b in pairwise(text))
    return 3 * (jumps + 1) <= len(text)


def _is_key(value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
    app_env = environment_of(info)
    if value is None:
        if app_env.hardened:
            raise Insecure(f"missing; {app_env} needs {_ACCEPTED}")
        return None
    key = value.get_secret_value()
    if not key.isprintable():
        raise ValueError("it contains a control character")
    reason = key_weakness(key, least=MIN_KEY_BYTES) if app_env.hardened else None
    if reason:
        raise Insecure(f"it {reason}, which is rejected in {app_env}; {app_env} needs {_ACCEPTED}")
    if len(key.encode()) < MIN_KEY_BYTES:
        raise ValueError(f"it is shorter than {MIN_KEY_BYTES} bytes")
    return value


_ACCEPTED = f"{MIN_KEY_BYTES} bytes or more of random text, such as `openssl rand -base64 48` prints"

SigningKey = Annotated[SecretStr | None, AfterValidator(_is_key), Accepts(_ACCEPTED)]
"""A key that signs by HMAC; None if it may be, and was, left out in development and test."""
