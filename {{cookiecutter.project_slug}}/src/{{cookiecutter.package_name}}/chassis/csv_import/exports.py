"""CSV that goes out, with no cell that a spreadsheet would run."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from io import StringIO

from .batches import Reject

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
"""What a spreadsheet takes for a formula at the begin of a cell, as OWASP's page on CSV injection lists."""
REJECTS_HEADER = "line,reasons,text\r\n"


def neutralised(cell: str) -> str:
    """*cell* with an apostrophe before it if it would be a formula, also behind the spaces that are skipped."""
    return f"'{cell}" if cell.lstrip(" ").startswith(FORMULA) else cell


def csv_of(rows: Iterable[Iterable[object]]) -> str:
    """*rows* as CSV (RFC 4180): commas, CRLF, quotes where they are needed."""
    file = StringIO()
    csv.writer(file).writerows([neutralised(str(cell)) for cell in row] for row in rows)
    return file.getvalue()


def csv_of_rejects(rejects: Iterable[Reject]) -> str:
    """*rejects* as CSV, without REJECTS_HEADER."""
    return csv_of((reject.line, "; ".join(reject.reasons), reject.text) for reject in rejects)
