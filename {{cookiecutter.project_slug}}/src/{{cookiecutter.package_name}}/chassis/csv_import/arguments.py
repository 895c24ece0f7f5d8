"""The arguments of the command; this module stands apart because every command line loads it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .decoding import ENCODINGS

if TYPE_CHECKING:
    import argparse

ON_CONFLICT = ("skip", "update", "fail")
"""As `OnConflict`."""
DELIMITER_NAMES = {"comma": ",", "semicolon": ";", "tab": "\t"}


def configure_import(parser: argparse.ArgumentParser) -> None:
    """Add them to the *parser* of a command that `run_import` runs."""
    parser.add_argument("file", type=Path, metavar="FILE.csv")
    parser.add_argument("--dry-run", action="store_true", help="count what would become of the records; store nothing")
    parser.add_argument("--rejects", type=Path, metavar="FILE", help="write the rejected records there, as CSV")
    parser.add_argument(
        "--on-conflict",
        choices=ON_CONFLICT,
        default="skip",
        help="what to do with a record that is there already (default: skip); fail ends the import there",
    )
    parser.add_argument("--encoding", help=f"of the file, if it is not UTF-8: {', '.join(ENCODINGS)}")
    parser.add_argument("--delimiter", choices=list(DELIMITER_NAMES), help="found out if it is not given")
    parser.add_argument("--again", action="store_true", help="import a file that was imported before once more")
    parser.add_argument("--format", choices=["text", "json"], default="text", help="of the result (default: text)")
