"""The cache: in this process, or in Redis for all of them."""

from __future__ import annotations

from .memory import Cache, CacheStats, MemoryCache

__all__ = ["Cache", "CacheStats", "MemoryCache"]
