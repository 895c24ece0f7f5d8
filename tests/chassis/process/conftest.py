"""One service of the development kind for all tests that leave it as they found it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from .command import Command
from .together import pytest_configure, pytest_pyfunc_call

__all__ = ["pytest_configure", "pytest_pyfunc_call"]


@pytest.fixture
def folder(tmp_path: Path, sqlite_template: Path) -> Path:
    """Where a service finds a database with the newest schema and no rows, and so has nothing to migrate."""
    shutil.copy(sqlite_template, tmp_path / "service.db")
    return tmp_path


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[Command]:
    folder = tmp_path_factory.mktemp("served")
    shutil.copy(sqlite_template, folder / "service.db")
    with Command(folder) as service:
        yield service


@pytest.fixture(scope="module")
def client(served: Command) -> Iterator[httpx2.Client]:
    with served.client() as client:
        yield client
