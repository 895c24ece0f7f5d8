"""How the process ended, for the one who started it; docs/operations.md says what to do about each."""

from __future__ import annotations

CLEAN = 0
UNHEALTHY = 1
"""Of `healthcheck`: a container's health check knows no other."""
STARTUP_FAILED = 3
CRASHED = 70
"""EX_SOFTWARE of sysexits.h: a critical task died, or the teardown failed."""
CUT_OFF = 75
"""EX_TEMPFAIL of sysexits.h: the shutdown deadline cut something off."""
BAD_SETTINGS = 78
"""EX_CONFIG of sysexits.h."""
FORCED_BASE = 128
"""A shell reports a process ended by signal n as 128 + n; a forced end says the same."""
