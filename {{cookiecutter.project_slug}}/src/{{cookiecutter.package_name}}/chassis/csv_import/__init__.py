"""Mechanism of the import of CSV files of any size: bytes in, rows of a table and rejects out."""

from __future__ import annotations

from .batches import Batch, Parser, Reject
from .columns import EMAIL, NAME, Column, Kind, Moments, Text
from .decoding import ENCODINGS, encoding_named, reject_magic
from .errors import CsvRejected
from .exports import REJECTS_HEADER, csv_of, csv_of_rejects
from .header import DELIMITERS
from .reading import RecordReader
from .sink import OnConflict, Stored, TableSink

__all__ = [
    "DELIMITERS",
    "EMAIL",
    "ENCODINGS",
    "NAME",
    "REJECTS_HEADER",
    "Batch",
    "Column",
    "CsvRejected",
    "Kind",
    "Moments",
    "OnConflict",
    "Parser",
    "RecordReader",
    "Reject",
    "Stored",
    "TableSink",
    "Text",
    "csv_of",
    "csv_of_rejects",
    "encoding_named",
    "reject_magic",
]
