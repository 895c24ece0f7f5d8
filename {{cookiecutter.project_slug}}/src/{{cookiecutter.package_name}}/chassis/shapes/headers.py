"""The headers that every answer carries, the server's own rejections included (OWASP REST Security Cheat Sheet)."""

from __future__ import annotations

SECURITY_HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)
"""A route that sets one of these itself keeps its own value."""

TRANSPORT_SECURITY = (b"strict-transport-security", b"max-age=31536000; includeSubDomains")
"""Sent over TLS alone; RFC 6797, section 7.2, forbids it elsewhere."""
