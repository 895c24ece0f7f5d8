"""Databases with the two tables of `models/` instead of the service's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.databases import PostgreSQL, migrated_postgresql, migrated_sqlite

from .schema import SCHEMA


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return migrated_sqlite(tmp_path_factory.mktemp("sqlite"), SCHEMA)


@pytest.fixture(scope="session")
def postgresql_database(postgresql_server: PostgreSQL) -> Iterator[str]:
    with migrated_postgresql(postgresql_server, SCHEMA) as address:
        yield address
