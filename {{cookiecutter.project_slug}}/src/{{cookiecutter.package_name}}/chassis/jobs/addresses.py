"""The address of a NATS server, as a setting."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator

from ..settings import Accepts, SecretUrl


def _nats_url(url: SecretUrl) -> SecretUrl:
    for each in url.get_secret_value().split(","):
        try:
            parts = urlsplit(each)
            named = parts.scheme in {"nats", "tls"} and bool(parts.hostname) and parts.port != 0
        except ValueError:
            named = False
        if not named:
            raise ValueError("it is not the address of a NATS server")
    return url


NatsUrl = Annotated[
    SecretUrl, AfterValidator(_nats_url), Accepts("nats://USER:PASSWORD@HOST:PORT, or tls://, several joined by commas")
]
