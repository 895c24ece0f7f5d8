"""The service as an ASGI application, for other servers, TestClient and tools; `serve` does not use it."""

from __future__ import annotations

from .app import SERVICE
from .chassis import asgi

app = asgi(SERVICE)
