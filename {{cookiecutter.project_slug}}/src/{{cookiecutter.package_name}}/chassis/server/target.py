"""The request target and the Host field: who and what the request is for (RFC 9112, section 3.2)."""

from __future__ import annotations

import re

import httptools

from ..shapes import problem
from .rejection import Rejected

# uri-host [ ":" port ]: a registered name, IPv4, or an IP literal in brackets (RFC 3986, section 3.2.2).
_HOST = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+,;=%-]*)(?::[0-9]*)?")
_seen_hosts: set[bytes] = set()
_MOST_HOSTS = 256


def check_host(value: bytes) -> None:
    """Raise Rejected for a Host that cannot be one; which hosts are ours is the application's decision."""
    if value in _seen_hosts:
        return
    if not _HOST.fullmatch(value):
        raise Rejected(problem.BAD_REQUEST, "The Host header is not a host and port.")
    if len(_seen_hosts) < _MOST_HOSTS and len(value) < _MOST_HOSTS:
        _seen_hosts.add(value)


def split_target(url: bytes, headers: list[tuple[bytes, bytes]]) -> tuple[bytes, bytes]:
    """Path and query of *url*; an absolute target replaces the Host in *headers* (section 3.2.2).

    Raises Rejected for a fragment and for what is no target at all.
    """
    if b"#" in url:
        raise Rejected(problem.BAD_REQUEST, "The request target holds a fragment.")
    if url[:1] == b"/" or url == b"*":
        path, _, query = url.partition(b"?")
        return path, query
    try:
        parsed = httptools.parse_url(url)
    except httptools.HttpParserInvalidURLError:
        raise Rejected(problem.BAD_REQUEST, "The request target cannot be read.") from None
    host = parsed.host or b""
    if parsed.port:
        host += b":%d" % parsed.port
    check_host(host)
    headers[:] = [(name, host if name == b"host" else value) for name, value in headers]
    return parsed.path or b"/", parsed.query or b""
