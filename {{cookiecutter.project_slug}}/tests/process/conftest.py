"""One service of the development kind for all tests that leave it as they found it."""

from __future__ import annotations

from collections.abc import Iterator

import httpx2
import pytest

from .command import Command
from .together import pytest_configure, pytest_pyfunc_call

__all__ = ["pytest_configure", "pytest_pyfunc_call"]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    with Command(tmp_path_factory.mktemp("served")) as service:
        yield service


@pytest.fixture(scope="module")
def client(served: Command) -> Iterator[httpx2.Client]:
    with served.client() as client:
        yield client
