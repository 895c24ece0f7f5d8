"""Who may call what of the feature `csv_import`, and what a test does to import something."""

from __future__ import annotations

import time
from importlib.util import find_spec
from typing import Any

import httpx2

from .process import PACKAGE

IDENTIFIED = find_spec(f"{PACKAGE}.features.auth") is not None
"""Whether imports are for admins; else they are open."""
ADMINS = "admin, superadmin" if IDENTIFIED else "public"
POLICIES = {
    "POST /api/imports": ADMINS,
    "GET /api/imports/{import_id}": ADMINS,
    "DELETE /api/imports/{import_id}": ADMINS,
    "GET /api/imports/{import_id}/rejects": ADMINS,
    "GET /api/imports/{import_id}/events": ADMINS,
}
"""Where a test compares all of them."""
CSV = {"Content-Type": "text/csv"}


def ended(client: httpx2.Client, path: str, seconds: float = 20.0) -> dict[str, Any]:
    """The import at *path*, when it has ended."""
    ends = time.monotonic() + seconds
    while (shown := dict(client.get(path).json()))["state"] not in {"done", "failed", "cancelled"}:
        assert time.monotonic() < ends, shown
        time.sleep(0.05)
    return shown
