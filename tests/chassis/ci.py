"""What a machine lacks is told, and matters most where everything is meant to be tested."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def skip_or_fail_in_ci(reason: str) -> NoReturn:
    """Skip the test that asks; where CI is set, fail it: nobody reads there what was left out."""
    if os.environ.get("CI"):
        pytest.fail(f"{reason}; CI tests everything", pytrace=False)
    pytest.skip(reason)
