from __future__ import annotations

import subprocess
import sys


def test_what_was_built_at_the_start_is_exempt_from_collection() -> None:
    """In a process of its own: it is for the whole process, and for good."""
    program = (
        "import gc; from acme_service.chassis.server.collector import THRESHOLDS, tune_collector;"
        "built = [[] for _ in range(1000)]; tune_collector();"
        "print(gc.get_freeze_count() > 1000, gc.get_threshold() == THRESHOLDS)"
    )
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)

    assert "True True\n" == output.stdout
