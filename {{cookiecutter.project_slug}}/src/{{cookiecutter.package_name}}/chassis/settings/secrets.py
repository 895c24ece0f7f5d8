"""Secrets: addresses that hold a password, and what makes a secret too easy to guess.

No message of this file shows a secret or a part of one.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Annotated
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from pydantic import AfterValidator, SecretStr, ValidationInfo

from .environment import AppEnv
from .postgresql import UNCLEAR, parse_postgresql
from .values import Accepts, Insecure, environment_of, is_address

SHORTEST_PASSWORD = 8
DIGITS = "01234567890123456789"

# The letters of a secret, in lower case, that attackers try first: `Postgres-123` has the letters `postgres`.
_SAMPLE = re.compile(
    r"(?:admin|administrator|app|database|db|default|demo|dev|development|example|guest|letmein|master|pass|passwd|"
    r"password|passwort|postgres|postgresql|pw|qwerty|redis|root|sample|secret|secretkey|supersecret|test|testing|user|"
    r"welcome|.*(?:changeme|changethis|notsecure|placeholder|replaceme|secretpassword|yourpassword|yoursecret).*)"
)
_URL_PASSWORD = re.compile(r"\A([^:/?#]+://[^:/?#@]*):[^@]*@")
_PARAMETERS = re.compile(r"(?:[\w.-]+=[^&=]*(?:&[\w.-]+=[^&=]*)*)?", re.ASCII)
_SECRET_PARAMETER = re.compile(r"([?&][^=&]*(?:pass|secret|token|key)[^=&]*=)[^&#]*", re.IGNORECASE)
_DATABASES = {"sqlite", "postgresql", "postgres"}
_REDIS = {"redis", "rediss", "unix"}


class SecretUrl(SecretStr):
    """An address that may hold a password."""

    def masked(self) -> str:
        """The address with the password, and what looks like one among the parameters, as `***`."""
        return _SECRET_PARAMETER.sub(r"\1***", _URL_PASSWORD.sub(r"\1:***@", self.get_secret_value()))

    def passwords(self) -> list[str]:
        """The password as it is written, and as it is sent."""
        written = urlsplit(self.get_secret_value()).password or ""
        return [written, unquote(written)]


def weakness(secret: str, *, least: int) -> str | None:
    """Say why *secret* can be guessed, to follow `it`; None when it has *least* characters and is no known sample."""
    if not secret:
        return "is empty"
    if _SAMPLE.fullmatch(re.sub("[^a-z]", "", secret.lower())):
        return "is a sample value"
    if len(secret) < least:
        return f"is shorter than {least} characters"
    if len(set(secret)) < min(least, 5) or secret in DIGITS:
        return "has too few different characters"
    return None


def _parts(url: str) -> SplitResult:
    """Split *url*, rejecting what different readers would split differently."""
    parts = _split(url)
    try:
        unclear = parts.port == 0
    except ValueError:
        unclear = True
    if unclear:
        raise ValueError(UNCLEAR)
    return parts


def _split(url: str) -> SplitResult:
    """As `_parts`, for addresses that may have several hosts."""
    if not url.isprintable() or " " in url:
        raise ValueError("it contains a space or a control character")
    try:
        parts = urlsplit(url)
        unclear = url.count("@") > ("@" in parts.netloc) or "#" in url
    except ValueError:
        unclear = True
    if unclear:
        raise ValueError(UNCLEAR)
    if not _PARAMETERS.fullmatch(parts.query):
        raise ValueError("what follows its ? is not NAME=VALUE, with & between two of them")
    return parts


def _database_url(url: SecretUrl, info: ValidationInfo) -> SecretUrl:
    scheme = url.get_secret_value().partition("://")[0].lower()
    if scheme.partition("+")[0] in _DATABASES and "+" in scheme:
        raise ValueError("it names a driver after '+', which the service chooses itself")
    if scheme not in _DATABASES:
        raise ValueError("it is not the address of a database that the service supports")
    if scheme == "sqlite":
        _check_sqlite(url.get_secret_value())
    else:
        _check_postgresql(url.get_secret_value(), environment_of(info))
    return url


def _not_sqlite(url: SecretUrl) -> SecretUrl:
    if is_sqlite_url(url):
        raise ValueError("it is not the address of a PostgreSQL server")
    return url


def is_sqlite_url(url: SecretUrl) -> bool:
    """Whether *url*, which was validated, names a file of SQLite."""
    return url.get_secret_value().lower().startswith("sqlite:")


def _check_sqlite(url: str) -> None:
    path = url.partition("://")[2]
    if not url.isprintable() or not path.startswith("/") or "?" in path or path in {"/", "/:memory:"}:
        raise ValueError("it names no database file (one in memory would be another for each connection)")


def _check_postgresql(url: str, app_env: AppEnv) -> None:
    parts = _split(url)
    parameters = parse_qs(parts.query)
    user, _, written = parts.netloc.rpartition("@")[0].partition(":")
    hosts = parse_postgresql(url).hosts
    if not hosts:
        raise ValueError("it names no host")
    if not parts.path.strip("/"):
        raise ValueError("it names no database after the host")
    if app_env.hardened and not all(map(_is_local, (host for host, _ in hosts))):
        password = unquote(written) or parameters.get("password", [""])[0]
        _reject_weak(password, unquote(user), app_env)


def _is_local(host: str) -> bool:
    return host.startswith("/") or host == "localhost" or (is_address(host) and ip_address(host).is_loopback)


def _reject_weak(password: str, user: str, app_env: AppEnv) -> None:
    reason = weakness(password, least=SHORTEST_PASSWORD)
    if reason is None and password == user:
        reason = "is the user name"
    if reason is not None:
        raise Insecure(f"its password {reason}, which is rejected in {app_env} for a server on another machine")


def _redis_url(url: SecretUrl, info: ValidationInfo) -> SecretUrl:
    parts = _parts(url.get_secret_value())
    if parts.scheme not in _REDIS or not (parts.path if parts.scheme == "unix" else parts.hostname):
        raise ValueError("it is not the address of a Redis server")
    if parts.scheme != "unix" and not re.fullmatch(r"/?\d{0,5}", parts.path):
        raise ValueError("what follows the host is not the number of a database")
    if parts.username and not parts.password:
        raise ValueError("it has a user and no password; a password alone is written :PASSWORD@HOST")
    if parts.password and environment_of(info).hardened:
        # A server without a password is common on a private network; a well-known password is a mistake.
        _reject_weak(unquote(parts.password), unquote(parts.username or ""), environment_of(info))
    return url


_POSTGRESQL = "postgresql://USER:PASSWORD@HOST:PORT/DATABASE"

DatabaseUrl = Annotated[
    SecretUrl,
    AfterValidator(_database_url),
    Accepts(f"sqlite:///PATH (sqlite:////PATH when absolute) or {_POSTGRESQL}"),
]
PostgresqlUrl = Annotated[SecretUrl, AfterValidator(_database_url), AfterValidator(_not_sqlite), Accepts(_POSTGRESQL)]
RedisUrl = Annotated[
    SecretUrl,
    AfterValidator(_redis_url),
    Accepts("redis://USER:PASSWORD@HOST:PORT/NUMBER, rediss:// for TLS, or unix://PATH"),
]
