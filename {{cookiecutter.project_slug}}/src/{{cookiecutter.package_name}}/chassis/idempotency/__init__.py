"""One effect for each Idempotency-Key: what a table and services need of it; `chassis.http` has the HTTP part."""

from __future__ import annotations

from .columns import IdempotencyColumns
from .keys import NO_KEY, EffectKey

__all__ = ["NO_KEY", "EffectKey", "IdempotencyColumns"]
