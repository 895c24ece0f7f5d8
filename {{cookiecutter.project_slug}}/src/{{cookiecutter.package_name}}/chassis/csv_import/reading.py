"""Text to records, piece by piece, each with the number of the line that it begins at and its original text."""

from __future__ import annotations

import csv
from dataclasses import dataclass, field
from io import StringIO

from .errors import CsvRejected

MAX_RECORD_CHARACTERS = 1_048_576
MAX_FIELD_CHARACTERS = 131_072
"""As the standard library's `csv` limits a field, so that an open quote does not take in the rest of the file."""

_UNCLOSED = "unexpected end of data"
_TOO_LARGE = "field larger than field limit"


@dataclass(slots=True)
class Records:
    """Some records of a file, as lists of one length."""

    rows: list[list[str]] = field(default_factory=list)
    """The fields of each; of one in *faults*, none."""
    lines: list[int] = field(default_factory=list)
    """Where each begins, from 1; a quoted field may go on over several."""
    texts: list[str] = field(default_factory=list)
    """The original text of each, with its line end."""
    faults: dict[int, str] = field(default_factory=dict)
    """Why the record of an index could not be taken apart."""

    def extend(self, more: Records) -> None:
        """Add *more* at the end."""
        count = len(self.rows)
        self.faults.update({count + index: fault for index, fault in more.faults.items()})
        self.rows += more.rows
        self.lines += more.lines
        self.texts += more.texts

    def take(self, count: int) -> Records:
        """Remove the first *count* and return them."""
        taken = Records(self.rows[:count], self.lines[:count], self.texts[:count])
        taken.faults = {index: fault for index, fault in self.faults.items() if index < count}
        self.faults = {index - count: fault for index, fault in self.faults.items() if index >= count}
        del self.rows[:count], self.lines[:count], self.texts[:count]
        return taken


class RecordReader:
    """Takes a text apart at *delimiter*; empty lines are no records."""

    def __init__(self, delimiter: str) -> None:
        self._delimiter = delimiter
        self._pending = ""
        self._line = 1
        """That the pending text begins at."""
        self.failure: CsvRejected | None = None
        """Set when a record has no end; nothing behind its begin is read."""

    def feed(self, text: str, *, final: bool = False) -> Records:
        """The records that end within *text*; what is left begins the next piece, and with *final* nothing is left."""
        text = self._pending + text
        # A CR at the end may be half of a line end.
        end = len(text) if final else 1 + max(text.rfind("\n"), text.rfind("\r", 0, -1))
        complete, self._pending = text[:end], text[end:]
        lines = list(StringIO(complete, newline=""))
        records = None if '"' in complete else self._plain(lines)
        if records is None:
            records = self._quoted(lines, final=final)
        if self.failure is None and len(self._pending) > MAX_RECORD_CHARACTERS:
            self.failure = CsvRejected(
                f"the record that begins here has more than {MAX_RECORD_CHARACTERS:,} characters: "
                "is a quote not closed, or the line end missing?",
                line=self._line,
            )
        return records

    def _plain(self, lines: list[str]) -> Records | None:
        """The records of lines without a quote, one each; None if a field is too large."""
        try:
            rows = list(csv.reader(lines, delimiter=self._delimiter, strict=True))
        except csv.Error:
            return None
        first, self._line = self._line, self._line + len(lines)
        numbers = list(range(first, self._line))
        if [] not in rows:
            return Records(rows, numbers, lines)
        kept = [index for index, row in enumerate(rows) if row]
        return Records([rows[index] for index in kept], [numbers[index] for index in kept], [lines[i] for i in kept])

    def _quoted(self, lines: list[str], *, final: bool) -> Records:
        records = Records()
        reader = csv.reader(lines, delimiter=self._delimiter, strict=True)
        begin = 0
        while begin < len(lines):
            fault = ""
            try:
                row = next(reader)
            except csv.Error as error:
                if str(error) == _UNCLOSED and not final:
                    break
                row, fault = [], self._fault(error, self._line + begin)
                if self.failure is not None:
                    break
            end = reader.line_num
            if row or fault:
                if fault:
                    records.faults[len(records.rows)] = fault
                records.rows.append(row)
                records.lines.append(self._line + begin)
                records.texts.append("".join(lines[begin:end]))
            begin = end
        self._line += begin
        self._pending = "".join(lines[begin:]) + self._pending
        return records

    def _fault(self, error: csv.Error, line: int) -> str:
        """What is wrong with one record; a failure if where it ends cannot be known."""
        if str(error) == _UNCLOSED:
            self.failure = CsvRejected("a quote is opened and not closed before the end of the file", line=line)
        elif str(error).startswith(_TOO_LARGE):
            limit = f"a field has more than {csv.field_size_limit():,} characters: is a quote not closed?"
            self.failure = CsvRejected(limit, line=line)
        return 'text stands behind a closing quote: write a quote inside a quoted field twice, as ""'
