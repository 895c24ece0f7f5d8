"""How the process ended, for whoever started it; docs/operations.md says what to do about each."""

from __future__ import annotations

from typing import Final

CLEAN: Final = 0
UNHEALTHY: Final = 1
"""Of `healthcheck`: a container's health check knows no other."""
STARTUP_FAILED: Final = 3
CRASHED: Final = 70
"""EX_SOFTWARE of sysexits.h: a critical task died, or the teardown failed."""
CUT_OFF: Final = 75
"""EX_TEMPFAIL of sysexits.h: the shutdown deadline cut something off."""
BAD_SETTINGS: Final = 78
"""EX_CONFIG of sysexits.h."""
FORCED_BASE: Final = 128
"""A shell reports a process ended by signal n as 128 + n; a forced end says the same."""
