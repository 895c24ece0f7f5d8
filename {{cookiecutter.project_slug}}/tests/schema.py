"""The schema of this service, migrated once for each kind of database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from {{ cookiecutter.package_name }}.app import SERVICE
from {{ cookiecutter.package_name }}.chassis.database.migrations import Schema

from .databases import PostgreSQL, migrated_postgresql, migrated_sqlite

SCHEMA = Schema(SERVICE.models, SERVICE.versions)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return migrated_sqlite(tmp_path_factory.mktemp("sqlite"), SCHEMA)


@pytest.fixture(scope="session")
def postgresql_database(postgresql_server: PostgreSQL) -> Iterator[str]:
    with migrated_postgresql(postgresql_server, SCHEMA) as address:
        yield address
