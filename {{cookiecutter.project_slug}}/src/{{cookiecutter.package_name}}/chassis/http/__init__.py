"""HTTP: declaring and describing routes, parsing requests into models, and writing models as responses."""

from __future__ import annotations

from ..shapes.limits import BodyLimits
from .conditional import read_if_match, version_headers
from .describe import describe
from .events import EventStream, prefers_events, while_connected
from .idempotency import Idempotency
from .mounts import mount, static_files
from .pages import web_page
from .parsing import read_body, read_id, read_query
from .responses import json_response
from .routing import ApiRoute, Authorizer, allow
from .websockets import websocket

__all__ = [
    "ApiRoute",
    "Authorizer",
    "BodyLimits",
    "EventStream",
    "Idempotency",
    "allow",
    "describe",
    "json_response",
    "mount",
    "prefers_events",
    "read_body",
    "read_id",
    "read_if_match",
    "read_query",
    "static_files",
    "version_headers",
    "web_page",
    "websocket",
    "while_connected",
]
