"""A file, piece by piece, to batches of clean rows and of rejects."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from .columns import Column
from .decoding import TextDecoder
from .errors import CsvRejected
from .header import Header, delimiter_of
from .reading import RecordReader, Records
from .seen import SeenKeys

BATCH_RECORDS = 1_000
MAX_BATCH_CHARACTERS = 1_048_576
"""A batch of longer records has fewer of them; its last one may reach beyond."""
MAX_RECORDS = 5_000_000
"""Of one file: what is remembered of each record, to find duplicates, stays below 200 MB."""
MAX_REJECT_CHARACTERS = 10_000
"""Of a record's original text that a reject keeps."""


@dataclass(frozen=True, slots=True)
class Reject:
    """A record that is not imported."""

    line: int
    text: str
    """As it stands in the file, without its line end, and at most MAX_REJECT_CHARACTERS of it."""
    reasons: tuple[str, ...]


@dataclass(slots=True)
class Batch:
    """Consecutive records of a file, and what became of each; always the same ones of the same file."""

    records: int
    """How many the file has up to and with this batch."""
    columns: dict[str, list[Any]] = field(default_factory=dict)
    """The values of the clean records by column; lists of one length."""
    lines: list[int] = field(default_factory=list)
    """Where each clean record begins."""
    texts: list[str] = field(default_factory=list)
    """The original text of each clean record."""
    rejects: list[Reject] = field(default_factory=list)
    characters: int = 0
    """Of the original texts of all records."""


class Parser:
    """Reads a file that begins with a header; `feed` it the bytes in order, and end with *final*.

    Raises CsvRejected, after every batch that came before what is wrong.
    """

    def __init__(
        self,
        columns: Sequence[Column],
        *,
        encoding: str | None = None,
        delimiter: str | None = None,
        rest: Callable[[], object] = lambda: None,
    ) -> None:
        """*encoding* and *delimiter* are found out if they are None: see `TextDecoder` and `delimiter_of`.

        *rest* is called after each part of the work, about a millisecond of it.
        """
        self._columns = columns
        self._rest = rest
        self._decoder = TextDecoder(encoding)
        self._delimiter = delimiter
        self._beginning = ""
        self._reader: RecordReader | None = None
        self._pending = Records()
        self._characters = 0
        self._records = 0
        self._seen = {column.name: SeenKeys() for column in columns if column.unique}
        self.header: Header | None = None

    def feed(self, data: bytes, *, final: bool = False) -> Iterator[Batch]:
        """The batches that are complete with *data*; with *final*, all that are left."""
        text = self._decoder.feed(data, final=final)
        records = self._read(text, final=final and self._decoder.failure is None)
        failure = (self._reader.failure if self._reader else None) or self._decoder.failure
        self._rest()
        self._pending.extend(records)
        self._characters += sum(map(len, records.texts))
        end = final or failure is not None
        while count := self._next_batch(final=end):
            yield self._clean(self._pending.take(count))
        if failure is not None:
            raise failure
        if final and self.header is None:
            raise CsvRejected("the file is empty: it must begin with a header")
        if final and not self._records:
            raise CsvRejected("the file has a header and no records", line=self.header.line if self.header else None)

    def _read(self, text: str, *, final: bool) -> Records:
        if self._reader is None:
            self._beginning += text
            text, self._beginning = self._beginning, ""
            if not final and "\n" not in text and "\r" not in text[:-1] and len(text) < MAX_BATCH_CHARACTERS:
                self._beginning = text
                return Records()
            first = text.lstrip("\r\n").partition("\n")[0]
            self._reader = RecordReader(self._delimiter or delimiter_of(first.partition("\r")[0], self._columns))
        records = self._reader.feed(text, final=final)
        if self.header is None and records.rows:
            header = records.take(1)
            if header.faults:
                raise CsvRejected(header.faults[0], line=header.lines[0])
            self.header = Header(header.rows[0], self._columns, line=header.lines[0])
        return records

    def _next_batch(self, *, final: bool) -> int:
        """How many records the next batch takes; 0 if more must be read before that is known."""
        texts = self._pending.texts
        if len(texts) < BATCH_RECORDS and self._characters < MAX_BATCH_CHARACTERS and not final:
            return 0
        characters = 0
        for count, length in enumerate(map(len, islice(texts, BATCH_RECORDS)), 1):
            characters += length
            if characters >= MAX_BATCH_CHARACTERS:
                return count
        return len(texts[:BATCH_RECORDS])

    def _clean(self, records: Records) -> Batch:
        if self._records >= MAX_RECORDS:
            raise CsvRejected(f"the file has more than {MAX_RECORDS:,} records: divide it", line=records.lines[0])
        assert self.header is not None  # noqa: S101 - records come after it
        header = self.header
        self._records += len(records.rows)
        characters = sum(map(len, records.texts))
        self._characters -= characters
        batch = Batch(records=self._records, characters=characters)
        reasons: dict[int, list[str]] = {index: [fault] for index, fault in records.faults.items()}
        if records.faults or set(map(len, records.rows)) != {header.width}:
            self._align(records.rows, header, reasons)
        fields = list(zip(*records.rows, strict=True))
        present = [column for column in self._columns if column.name in header.positions]
        malformed = frozenset(reasons)
        for column in present:
            values, problems = column.kind.clean(fields[header.positions[column.name]])
            self._rest()
            batch.columns[column.name] = values
            for index, problem in problems.items():
                if index not in malformed:
                    reasons.setdefault(index, []).append(f"{column.name} {problem}")
        self._reject_duplicates(batch, records.lines, reasons)
        batch.lines, batch.texts = records.lines, records.texts
        if reasons:
            _move(batch, reasons)
        return batch

    def _align(self, rows: list[list[str]], header: Header, reasons: dict[int, list[str]]) -> None:
        """Give every row the header's width, and each that had another one a reason."""
        for index, row in enumerate(rows):
            if len(row) != header.width:
                reasons.setdefault(index, [f"has {len(row):,} fields, and the header has {header.width:,}"])
                rows[index] = [""] * header.width

    def _reject_duplicates(self, batch: Batch, lines: list[int], reasons: dict[int, list[str]]) -> None:
        """Of records with one value the first that is not rejected counts."""
        for name, seen in self._seen.items():
            keys = batch.columns[name]
            if reasons:
                keys = [None if index in reasons else key for index, key in enumerate(keys)]
            for index, line in seen.add(keys, lines).items():
                reasons[index] = [f"{name} is a duplicate of line {line}"]


def _move(batch: Batch, reasons: dict[int, list[str]]) -> None:
    """Make rejects of the records that *reasons* names."""
    for index in sorted(reasons):
        text = batch.texts[index].rstrip("\r\n")[:MAX_REJECT_CHARACTERS]
        batch.rejects.append(Reject(batch.lines[index], text, tuple(reasons[index])))
    kept = [index for index in range(len(batch.lines)) if index not in reasons]
    for name, values in batch.columns.items():
        batch.columns[name] = [values[index] for index in kept]
    batch.lines = [batch.lines[index] for index in kept]
    batch.texts = [batch.texts[index] for index in kept]
