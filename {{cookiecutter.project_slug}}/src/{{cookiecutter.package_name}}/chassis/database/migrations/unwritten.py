"""What the models say and no revision makes, whatever the configured database has."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from ..database import Database
from ..drift import differences, metadata_of
from .runner import migrated

if TYPE_CHECKING:
    from . import Schema


async def unwritten(schema: Schema) -> list[str]:
    """Name each table, column, index and constraint; found in a scratch database at the newest revision."""
    with tempfile.TemporaryDirectory() as folder:
        address = f"sqlite:///{Path(folder) / 'scratch.db'}"
        await migrated(address, schema)
        database = Database(address)
        try:
            metadata = metadata_of(schema.models)
            return await database.read(lambda connection: differences(connection, metadata))
        finally:
            await database.close()
