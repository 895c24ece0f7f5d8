"""The tables that these tests declare, and the way to them."""

from __future__ import annotations

from pathlib import Path

from acme_service.chassis.database.migrations import Schema

TESTS = Path(__file__).parents[3]
"""Where the package of these tests lies, for a process that imports it."""
SCHEMA = Schema("chassis.models", TESTS / "chassis" / "versions")
