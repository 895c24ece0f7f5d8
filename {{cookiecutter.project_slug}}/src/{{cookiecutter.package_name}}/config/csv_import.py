"""Settings of the feature `csv_import`."""

from __future__ import annotations

from pydantic import Field

from ..chassis.settings import SettingsGroup


class ImportSettings(SettingsGroup):
    """Import of CSV files."""

    max_bytes: int = Field(
        default=104_857_600,
        ge=1,
        le=10_737_418_240,
        validation_alias="IMPORT_MAX_BYTES",
        description="Largest file that may be uploaded to be imported; there it replaces MAX_BODY_BYTES.",
    )
