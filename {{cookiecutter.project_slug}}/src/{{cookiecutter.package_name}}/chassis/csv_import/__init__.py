"""Mechanism of the import of CSV files of any size: bytes in, rows of a table and rejects out.

A name is imported when it is asked for, so that the tables, and the command line's help, load no more than they need.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .arguments import configure_import
    from .batches import Batch, Parser, Reject
    from .columns import EMAIL, NAME, Column, Kind, Moments, Text
    from .command import run_import
    from .endpoints import ImportsController
    from .errors import CsvRejected
    from .exports import csv_of
    from .importer import Importer, Target
    from .imports import Imports
    from .sink import OnConflict, TableSink
    from .store import ImportTables
    from .tables import ImportChunkColumns, ImportColumns, ImportRejectColumns

_MODULES = {
    "arguments": ("configure_import",),
    "batches": ("Batch", "Parser", "Reject"),
    "columns": ("EMAIL", "NAME", "Column", "Kind", "Moments", "Text"),
    "command": ("run_import",),
    "endpoints": ("ImportsController",),
    "errors": ("CsvRejected",),
    "exports": ("csv_of",),
    "importer": ("Importer", "Target"),
    "imports": ("Imports",),
    "sink": ("OnConflict", "TableSink"),
    "store": ("ImportTables",),
    "tables": ("ImportChunkColumns", "ImportColumns", "ImportRejectColumns"),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "EMAIL",
    "NAME",
    "Batch",
    "Column",
    "CsvRejected",
    "ImportChunkColumns",
    "ImportColumns",
    "ImportRejectColumns",
    "ImportTables",
    "Importer",
    "Imports",
    "ImportsController",
    "Kind",
    "Moments",
    "OnConflict",
    "Parser",
    "Reject",
    "TableSink",
    "Target",
    "Text",
    "configure_import",
    "csv_of",
    "run_import",
]


def __getattr__(name: str) -> Any:
    """Import what is public here when it is first used (PEP 562)."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - as the module's docstring says

    value = globals()[name] = getattr(import_module(f".{_MODULE_OF[name]}", __name__), name)
    return value
