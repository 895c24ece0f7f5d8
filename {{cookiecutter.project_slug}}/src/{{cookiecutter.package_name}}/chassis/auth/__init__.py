"""Mechanism of the feature `auth`: tokens, the counting of login attempts, and the authorizer for bearer tokens."""

from __future__ import annotations

from .attempts import Attempts, MemoryAttempts, new_attempts
from .authorizer import CHALLENGE, BearerAuthorizer, client_of
from .tokens import MAX_TOKEN_CHARACTERS, Claims, TokenRejected, Tokens

__all__ = [
    "CHALLENGE",
    "MAX_TOKEN_CHARACTERS",
    "Attempts",
    "BearerAuthorizer",
    "Claims",
    "MemoryAttempts",
    "TokenRejected",
    "Tokens",
    "client_of",
    "new_attempts",
]
