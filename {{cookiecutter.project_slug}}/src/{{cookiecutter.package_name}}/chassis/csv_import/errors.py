"""What ends the reading of a file: one message, with the line."""

from __future__ import annotations


class CsvRejected(Exception):
    """The file, from *line* on, cannot be read as CSV; what came before *line* stands.

    The message is for the person who has the file: what is wrong, where, and what is accepted.
    """

    def __init__(self, problem: str, *, line: int | None = None) -> None:
        super().__init__(problem if line is None else f"line {line}: {problem}")
        self.line = line


def quoted(text: str, *, most: int = 60) -> str:
    """*text* as a message may hold it: in quotes, controls escaped, of bounded length."""
    return repr(text if len(text) <= most else f"{text[:most]}...")
