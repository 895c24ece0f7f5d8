"""What machines ask: the paths, and the shapes on the wire."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

LIVE_PATH = "/health/live"
READY_PATH = "/health/ready"
METRICS_PATH = "/metrics"


class ServiceIdentity(BaseModel):
    """Which service responds, and in which version and environment."""

    service: str
    version: str
    environment: str


class Health(BaseModel):
    """That the process is alive, or ready for requests."""

    status: Literal["alive", "ready"]


class OpenApiDocument(BaseModel):
    """An OpenAPI 3.1 document; of its members, those that are always there."""

    model_config = ConfigDict(extra="allow")

    openapi: str
    info: dict[str, Any]
    paths: dict[str, Any]
