"""The kinds of value that settings hold: switches, host names, origins and networks; secrets are in `secrets.py`.

A validator raises ValueError with what is wrong, to which `groups.py` adds what is accepted, or Insecure with the whole
sentence.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, ValidationInfo

from ..shapes.addresses import canonical_network
from .environment import AppEnv

LONGEST_QUOTE = 60

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*", re.ASCII)
_ORIGIN = re.compile(r"([a-z][a-z0-9+.-]*)://(\[[^\]]*\]|[^:/?#@\[\]]+)(?::([0-9]{1,5}))?", re.ASCII)
_FIELD_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")
_EVERYTHING = {"*", "0.0.0.0/0", "::/0"}
_DEFAULT_PORTS = {("http", "80"), ("https", "443")}


@dataclass(frozen=True, slots=True)
class Accepts:
    """What a value must look like, for people; it ends the sentence `expected ...`."""

    text: str


@dataclass(frozen=True, slots=True)
class Generated:
    """A secret for which `.env.example` has a placeholder that `make` replaces by that many random bytes."""

    byte_count: int


class Insecure(ValueError):
    """A well-formed value that this environment must not run with."""


def quoted(text: str) -> str:
    """*text* for a message: one short line, without what stands before an `@` in an address."""
    shown = re.sub(r"://.*@", "://***@", text, flags=re.DOTALL)
    return repr(shown if len(shown) <= LONGEST_QUOTE else f"{shown[:LONGEST_QUOTE]}...")


def environment_of(info: ValidationInfo) -> AppEnv:
    """The environment that a value is checked for; development where a group is built from plain values."""
    return AppEnv((info.context or {}).get("app_env", AppEnv.DEVELOPMENT))


def _switch(value: bool, info: ValidationInfo) -> bool:  # noqa: FBT001 - pydantic calls it by position
    """Keep a switch that helps developers, and attackers, off where it counts."""
    if value and environment_of(info).hardened:
        raise Insecure(f"true is rejected in {environment_of(info)}")
    return value


def _split(value: object) -> object:
    """The elements of a comma list; empty ones do not count."""
    if not isinstance(value, str):
        return value
    return tuple(element for part in value.split(",") if (element := part.strip()))


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _reject(values: tuple[str, ...], malformed: list[str], info: ValidationInfo, danger: str) -> None:
    """Reject what is *malformed*, and what stands for everything where that is insecure because of *danger*."""
    app_env = environment_of(info)
    open_to_all = [value for value in values if app_env.hardened and value in _EVERYTHING]
    reasons = [f"{quoted(value)} is rejected in {app_env}: {danger}" for value in open_to_all]
    if malformed:
        reasons.append(f"{', '.join(map(quoted, malformed))} {'is' if len(malformed) == 1 else 'are'} not accepted")
        raise ValueError("; ".join(reasons))
    if reasons:
        raise Insecure("; ".join(reasons))


def is_address(text: str) -> bool:
    """Whether *text* is an IPv4 or IPv6 address."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _is_host(text: str) -> bool:
    """Whether *text* is a host name or an IPv4 address, or an IPv6 address in brackets."""
    if text.startswith("["):
        return text.endswith("]") and ":" in text and is_address(text[1:-1])
    numeric = text.rpartition(".")[2].isdigit()
    return is_address(text) if numeric else _NAME.fullmatch(text) is not None


def _listener(host: str) -> str:
    if not (is_address(host) or _is_host(host.lower())) or host.startswith("["):
        raise ValueError(f"{quoted(host)} is not accepted")
    return host


def _hosts(values: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
    if not values and environment_of(info).hardened:
        raise Insecure(
            f"missing; {environment_of(info)} needs the host names that clients use, such as api.example.com"
        )
    hosts = tuple(value.lower() for value in values)
    malformed = [host for host in hosts if host != "*" and not _is_host(host.removeprefix("*."))]
    _reject(hosts, malformed, info, "it lets every Host header through")
    return hosts


def _origin(text: str) -> str | None:
    """*text* as a browser sends it, without the scheme's own port; None if it is not an origin."""
    match = _ORIGIN.fullmatch(text.lower())
    if match is None or not _is_host(match[2]) or int(match[3] or 0) > 65_535:  # noqa: PLR2004 - the highest port
        return None
    return f"{match[1]}://{match[2]}" if match[3] is None or match.group(1, 3) in _DEFAULT_PORTS else match[0]


def _origins(values: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
    malformed = [value for value in values if value != "*" and _origin(value) is None]
    _reject(values, malformed, info, "it lets every web page read the responses")
    return tuple(_origin(value) or value for value in values)


def _network(text: str) -> str | None:
    """*text* in its usual spelling; None if it is neither an address nor a network."""
    try:
        return canonical_network(text)
    except ValueError:
        return None


def _proxies(values: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
    malformed = [value for value in values if value != "*" and _network(value) is None]
    proxies = tuple(_network(value) or value for value in values)
    _reject(proxies, malformed, info, "every client could then forge its address")
    return proxies


def _header_names(values: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
    malformed = [value for value in values if value != "*" and not _FIELD_NAME.fullmatch(value)]
    _reject(values, malformed, info, "a page could send every header")
    return values


LowerCase = BeforeValidator(_lower)
"""Marks a choice that may be written in any letter case."""

Switch = Annotated[bool, AfterValidator(_switch)]
"""true or false, and false in staging and production."""

Listener = Annotated[
    str, AfterValidator(_listener), Accepts("an IP address or a host name of this machine, without a port")
]
Hosts = Annotated[
    tuple[str, ...],
    BeforeValidator(_split),
    AfterValidator(_hosts),
    Accepts(
        "host names without a port, separated by commas, such as api.example.com, *.example.com or, "
        "in development and test only, * for all"
    ),
]
Origins = Annotated[
    tuple[str, ...],
    BeforeValidator(_split),
    AfterValidator(_origins),
    Accepts(
        "origins separated by commas, such as https://app.example.com or http://localhost:3000, without a path, or, "
        "in development and test only, * for all"
    ),
]
HeaderNames = Annotated[
    tuple[str, ...],
    BeforeValidator(_split),
    AfterValidator(_header_names),
    Accepts("names of headers separated by commas, such as X-Tenant, X-Device"),
]
Proxies = Annotated[
    tuple[str, ...],
    BeforeValidator(_split),
    AfterValidator(_proxies),
    Accepts(
        "IP addresses and networks separated by commas, such as 10.0.0.7 or 10.0.0.0/8, or, "
        "in development and test only, * for all"
    ),
]
