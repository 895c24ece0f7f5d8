"""Events of API Gateway, function URLs and load balancers to ASGI scopes, and responses back to what they expect.

The members of the events: "Using AWS Lambda with Amazon API Gateway", "Create a route in API Gateway", "Invoking Lambda
function URLs" and "Lambda functions as targets of an Application Load Balancer", all of AWS's own documentation.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from mangum.handlers import ALB, APIGateway, HTTPGateway

if TYPE_CHECKING:
    from starlette.types import Scope

T = TypeVar("T")

_HANDLERS = (ALB, HTTPGateway, APIGateway)
_TEXT_TYPES = [
    *("text/", "application/json", "application/problem+json", "application/openmetrics-text"),
    *("application/javascript", "application/xml", "image/svg+xml"),
]
"""Whose bodies are sent as they are; those of the others in Base64."""
_HEADERS = ("headers", "multiValueHeaders")
_NO_CONTEXT: Any = None
_CONFIG: Any = {"api_gateway_base_path": "/", "text_mime_types": _TEXT_TYPES, "exclude_headers": []}
_SAID_BY_THE_SCOPE = frozenset(
    {b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-port", b"content-length", b"transfer-encoding"}
)
"""Headers that the event's own members replace, or that are written again."""
_ACCEPTED = "events of API Gateway (REST and HTTP), function URLs and Application Load Balancers are accepted"
_MOST_NAMES = 8


class EventRejected(Exception):
    """The event stands for no HTTP request; the text names no value of it."""


class MalformedEvent(EventRejected):
    """It stands for an HTTP request that cannot be read."""


class HttpEvent:
    """One event that stands for an HTTP request.

    mangum finds out which kind it is, decodes path and query, and writes the response; the body, the headers and what
    they say of the client are read here, each value by itself.
    """

    def __init__(self, event: Any, context: Any, *, base_path: str = "") -> None:
        """*base_path* is what a domain of one's own puts before each path. Raises EventRejected."""
        kind = _kind(event)
        try:
            pairs = list(_pairs(event))
            self._handler = kind({**event, **{name: {} for name in _HEADERS if name in event}}, context, _CONFIG)
            self.body = _body(event)
            self.scope = self._scope(event, pairs, base_path)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            missing = f", {error} is missing" if isinstance(error, KeyError) else ""
            raise MalformedEvent(f"the event cannot be read: {type(error).__name__}{missing}") from None

    def response(self, status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> dict[str, Any]:
        """What the function returns."""
        pairs = [(name, value) for name, value in headers if name != b"connection"]
        returned: dict[str, Any] = self._handler({"status": status, "headers": pairs, "body": body})
        return returned

    def _scope(self, event: Mapping[str, Any], pairs: Sequence[tuple[bytes, bytes]], base_path: str) -> Scope:
        scope = dict(self._handler.scope)
        forwarded = [part.strip() for value in _values(pairs, b"x-forwarded-for") for part in value.split(",")]
        client = forwarded[-1] if isinstance(self._handler, ALB) and forwarded else scope["client"][0]
        headers = [(name, value) for name, value in pairs if name not in _SAID_BY_THE_SCOPE]
        # The last one is the client that the gateway itself saw; who sent that one is a matter of TRUSTED_PROXIES.
        if forwarded[:-1]:
            headers.append((b"x-forwarded-for", ", ".join(forwarded[:-1]).encode()))
        if self.body:
            headers.append((b"content-length", str(len(self.body)).encode()))
        path = _without(_stage(event), _without(base_path, scope["path"]))
        return scope | {
            "method": scope["method"].upper(),
            "path": path if path.startswith("/") else f"/{path}",
            "headers": headers,
            "client": (_of_type(client, str), 0) if client else None,
            "server": None,
            "scheme": "http" if _values(pairs, b"x-forwarded-proto")[-1:] == ["http"] else "https",
            "aws.event": event,
        }


def _kind(event: Any) -> Any:
    """The class of mangum that reads *event*."""
    if isinstance(event, dict) and isinstance(event.get("requestContext"), dict):
        for each in _HANDLERS:
            if each.infer(event, _NO_CONTEXT, _CONFIG):
                return each
    raise EventRejected(f"the event is {_kind_of(event)}: {_ACCEPTED}")


def _kind_of(event: Any) -> str:
    """What an event probably is; the values in it stay out of the log."""
    if not isinstance(event, dict):
        return f"of the type {type(event).__name__}"
    records = event.get("Records")
    if isinstance(records, list) and records and isinstance(records[0], dict):
        source = records[0].get("eventSource") or records[0].get("EventSource")
        return f"one of {source}" if isinstance(source, str) and len(source) < 40 else "a list of records"  # noqa: PLR2004
    if "detail-type" in event:
        return "one of EventBridge"
    if isinstance(event.get("requestContext"), dict) and "connectionId" in event["requestContext"]:
        return "one of a websocket of API Gateway"
    names = ", ".join(sorted(map(str, event))[:_MOST_NAMES]) or "none"
    return f"of no known kind (its members: {names[:200]})"


def _pairs(event: Mapping[str, Any]) -> Iterator[tuple[bytes, bytes]]:
    """Each header, its name in lower case, with each of its values."""
    single, multiple = (event.get(name) or {} for name in _HEADERS)
    for name, values in (multiple or {name: [value] for name, value in single.items()}).items():
        yield from ((name.lower().encode(), value.encode()) for value in values)
    if cookies := event.get("cookies"):
        yield b"cookie", "; ".join(_of_type(cookies, list)).encode()


def _body(event: Mapping[str, Any]) -> bytes:
    body = _of_type(event.get("body") or "", str).encode()
    return base64.b64decode(body, validate=True) if event.get("isBase64Encoded") else body


def _of_type(value: Any, kind: type[T]) -> T:
    if not isinstance(value, kind):
        raise TypeError
    return value


def _values(pairs: Sequence[tuple[bytes, bytes]], wanted: bytes) -> list[str]:
    return [value.decode() for name, value in pairs if name == wanted]


def _stage(event: Mapping[str, Any]) -> str:
    """What an HTTP API puts before each path, unless its stage is the default one."""
    stage = event["requestContext"].get("stage") if event.get("version") == "2.0" else None
    return "" if stage in {None, "", "$default"} else f"/{stage}"


def _without(prefix: str, path: str) -> str:
    prefix = prefix.rstrip("/")
    if prefix and (path == prefix or path.startswith(f"{prefix}/")):
        return path[len(prefix) :] or "/"
    return path
