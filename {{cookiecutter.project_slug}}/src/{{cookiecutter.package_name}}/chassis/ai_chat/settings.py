"""The kinds of value that the settings of an assistant hold: the address of a provider, and its key."""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, SecretStr, ValidationInfo

from ..settings import Accepts, Insecure, environment_of

_KEY = re.compile(r"[!-~]{1,1000}")


def _provider_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        named = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        named = False
    if not named or url.count("@") or parts.query or parts.fragment or " " in url:
        raise ValueError("it is not the address of an API")
    return url


def _provider_key(key: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
    app_env = environment_of(info)
    if key is None:
        if app_env.hardened:
            raise Insecure(f"missing; {app_env} needs {_ACCEPTED}, or any text for a server that asks for none")
        return None
    if not _KEY.fullmatch(key.get_secret_value()):
        raise ValueError("it is empty, or has a character that no key has")
    return key


_ACCEPTED = "the key that the provider of the model gave you"

ProviderUrl = Annotated[
    str, AfterValidator(_provider_url), Accepts("http://HOST:PORT/PATH or https://HOST/PATH, without a user")
]
ProviderKey = Annotated[SecretStr | None, AfterValidator(_provider_key), Accepts(_ACCEPTED)]
"""Missing, it is rejected in staging and production."""
