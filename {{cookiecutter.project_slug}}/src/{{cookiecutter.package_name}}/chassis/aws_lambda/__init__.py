"""Mechanism of AWS Lambda: events in, one invocation at a time through the application, responses and metrics out."""

from __future__ import annotations

from .handler import LambdaHandler

__all__ = ["LambdaHandler"]
