"""How far an import has come, for the one who waits: a bar on a terminal, and else a line now and then."""

from __future__ import annotations

import sys
from time import monotonic
from typing import TextIO

from .store import Progress

WIDTH = 24
BAR_SECONDS = 0.1
LINE_SECONDS = 5.0


class ProgressBar:
    """Writes to *stream*: rows, their rate, and the time that is left by the bytes that are read."""

    def __init__(self, size_bytes: int, *, stream: TextIO | None = None) -> None:
        self._size = max(1, size_bytes)
        self._stream = stream or sys.stderr
        self._is_bar = self._stream.isatty()
        self._shown_at = monotonic()
        self._begun: tuple[float, int, int] | None = None
        """When the first batch of this run was done, and where it stood: what was done before has no rate."""
        self._shown = False

    def show(self, progress: Progress) -> None:
        """Show *progress*, if the last time is some time ago."""
        now = monotonic()
        if self._begun is None:
            self._begun = now, progress.records, progress.read_bytes
        if now - self._shown_at >= (BAR_SECONDS if self._is_bar else LINE_SECONDS):
            self._shown_at, self._shown = now, True
            self._stream.write(self._line(progress, now, self._begun))
            self._stream.flush()

    def end(self) -> None:
        """Leave the bar on a line of its own."""
        if self._is_bar and self._shown:
            self._stream.write("\n")
            self._stream.flush()

    def _line(self, progress: Progress, now: float, begun: tuple[float, int, int]) -> str:
        begun_at, records, read_bytes = begun
        seconds = max(1e-9, now - begun_at)
        rate = (progress.records - records) / seconds
        left = (self._size - progress.read_bytes) * seconds / max(1, progress.read_bytes - read_bytes)
        share = min(1.0, progress.read_bytes / self._size)
        text = f"{share:4.0%}  {progress.records:,} rows  {rate:,.0f} rows/s  {left:,.0f} s left"
        if not self._is_bar:
            return f"{text.strip()}\n"
        filled = round(share * WIDTH)
        return f"\r[{'#' * filled}{'.' * (WIDTH - filled)}] {text}\x1b[K"
