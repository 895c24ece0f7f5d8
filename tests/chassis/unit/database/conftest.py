"""Databases with the two tables of `models/` instead of the service's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from acme_service.chassis.database.migrations.runner import migrated

from ...databases import PostgreSQL, run_alone
from .schema import SCHEMA


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sqlite") / "items.db"
    run_alone(migrated(f"sqlite:///{path}", SCHEMA))
    return path


@pytest.fixture(scope="session")
def postgresql_database(postgresql_server: PostgreSQL) -> Iterator[str]:
    address = postgresql_server.create()
    run_alone(migrated(address, SCHEMA))
    yield address
    postgresql_server.drop(address)
