"""These tests need the packages of `requirements.txt` beside this file, in the environment of a render."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

collect_ignore_glob = [] if find_spec("fastapi") else ["test_*.py"]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
