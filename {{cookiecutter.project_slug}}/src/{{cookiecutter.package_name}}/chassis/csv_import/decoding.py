"""Bytes to text, piece by piece: UTF-8 unless another encoding is given; what is no text is named."""

from __future__ import annotations

import codecs

from .errors import CsvRejected

ENCODINGS = (
    "utf-8",
    "utf-16",
    "utf-16-le",
    "utf-16-be",
    *(f"iso-8859-{part}" for part in (1, 2, 5, 7, 9, 15)),
    *(f"windows-125{page}" for page in range(9)),
    "mac-roman",
    "koi8-r",
    "shift_jis",
    "euc-jp",
    "gb18030",
    "big5",
    "euc-kr",
)
"""Those that may be given. Python knows more, and not all of its codecs are encodings of text."""

_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_MAGIC = {
    b"PK\x03\x04": "a zip archive, as .xlsx and .ods are",
    b"PK\x05\x06": "an empty zip archive",
    b"\x1f\x8b": "compressed with gzip",
    b"BZh": "compressed with bzip2",
    b"\xfd7zXZ\x00": "compressed with xz",
    b"\x28\xb5\x2f\xfd": "compressed with zstd",
    b"%PDF-": "a PDF",
    b"\xd0\xcf\x11\xe0": "an old Office document, as .xls is",
    b"SQLite format 3\x00": "a database of SQLite",
}
"""The first bytes of what is sent by mistake."""
_LONGEST_MAGIC = 16
_ADVICE = "save it as CSV in UTF-8"


def reject_magic(first: bytes) -> None:
    """Raise CsvRejected if a file that begins with *first* is known to be no text."""
    for magic, kind in _MAGIC.items():
        if first.startswith(magic):
            raise CsvRejected(f"the file is {kind}, not CSV: {_ADVICE}")


def encoding_named(name: str) -> str:
    """The one of ENCODINGS that *name* stands for, in any of Python's spellings; raises ValueError."""
    try:
        found = codecs.lookup(name).name
    except LookupError:
        found = ""
    for encoding in ENCODINGS:
        if codecs.lookup(encoding).name == found:
            return encoding
    raise ValueError(f"{name!r} is no encoding that is accepted: {', '.join(ENCODINGS)}")


class TextDecoder:
    """Decodes a file from its first byte on; raises CsvRejected if that shows that it is no text."""

    def __init__(self, encoding: str | None = None) -> None:
        """*encoding* is one of ENCODINGS, or None for UTF-8, with or without a byte order mark."""
        self.encoding = encoding or "utf-8"
        self._given = encoding is not None
        codec = "utf-8-sig" if self.encoding == "utf-8" else self.encoding
        self._decoder = codecs.getincrementaldecoder(codec)(errors="strict")
        self._first = b""
        self._begun = False
        self._newlines = 0
        self.failure: CsvRejected | None = None
        """Set with the line of the first byte that is no text; nothing behind it is decoded."""

    def feed(self, data: bytes, *, final: bool = False) -> str:
        """The text of *data*; a character that is cut in two comes with the next piece."""
        if not self._begun:
            self._first += data
            if len(self._first) < _LONGEST_MAGIC and not final:
                return ""
            data, self._first, self._begun = self._first, b"", True
            reject_magic(data)
            self._reject_other_mark(data)
        problem = ""
        try:
            text = self._decoder.decode(data, final)
        except UnicodeDecodeError as error:
            text, problem = error.object[: error.start].decode(error.encoding, "replace"), self._no_text(error)
        if "\x00" in text:
            text = text[: text.index("\x00")]
            problem = f"holds a NUL character, so the file is no text in {self.encoding}"
        self._newlines += text.count("\n")
        if problem:
            self.failure = CsvRejected(problem, line=1 + self._newlines)
        return text

    def _reject_other_mark(self, data: bytes) -> None:
        if not self._given and data.startswith(_UTF16):
            raise CsvRejected("the file is in UTF-16: give that as its encoding, or save it as CSV in UTF-8")

    def _no_text(self, error: UnicodeDecodeError) -> str:
        wrong = f"the byte 0x{error.object[error.start]:02x} is not text in {self.encoding}"
        advice = "give another encoding" if self._given else "give its encoding, such as windows-1252"
        return f"{wrong}: {advice}, or {_ADVICE}"
