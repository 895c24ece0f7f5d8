"""Mechanism of the feature `auth`: tokens, the counting of login attempts, and the authorizer for bearer tokens."""

from __future__ import annotations

from .attempts import Attempts, Count, MemoryAttempts, Reservation, counts_of, guess, new_attempts
from .authorizer import CHALLENGE, BearerAuthorizer, client_of
from .sealed_cache import SealedCache
from .tokens import MAX_TOKEN_CHARACTERS, Claims, TokenRejected, Tokens

__all__ = [
    "CHALLENGE",
    "MAX_TOKEN_CHARACTERS",
    "Attempts",
    "BearerAuthorizer",
    "Claims",
    "Count",
    "MemoryAttempts",
    "Reservation",
    "SealedCache",
    "TokenRejected",
    "Tokens",
    "client_of",
    "counts_of",
    "guess",
    "new_attempts",
]
