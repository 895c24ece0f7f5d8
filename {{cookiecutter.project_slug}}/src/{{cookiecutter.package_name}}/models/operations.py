"""Shapes on the wire of what machines ask."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel


class ServiceIdentity(BaseModel):
    """Which service answers, and in which version and environment."""

    service: str
    version: str
    environment: str


class Health(BaseModel):
    """That the process is alive, or ready for requests."""

    status: Literal["alive", "ready"]
