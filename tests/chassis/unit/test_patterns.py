"""Every regular expression takes time linear in what it is given, so that no input of 64 KiB holds the process.

Growth is measured, and not time: four times the input may take four times as long, where a quadratic pattern takes
sixteen times.
"""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import acme_service
from acme_service.chassis.logs.assignments import mask_assignments
from acme_service.chassis.logs.masking import Masker

LONGEST = 65_536
MOST_GROWTH = 9.0
WORTH_COMPARING_SECONDS = 0.0003
"""For a quarter of the longest; if the pattern were quadratic, the longest would take 5 ms."""
PIECES = [
    "eyJ",
    "eyJ.",
    "eyJaaaaa.",
    "eyJaaaaa.aaaa.",
    "a.",
    "a-",
    "A",
    "a",
    "Aa",
    "A1",
    "0",
    "9",
    ".",
    "-",
    "_",
    "é",
    "́",
    "/",
    "//",
    "://",
    "://a:",
    "://a@",
    "://x:y",
    ":",
    "@",
    "a@",
    "a@b.",
    "a@b.c",
    "[::",
    "[",
    "{",
    "(",
    "]",
    "<",
    "=",
    "==",
    "=>",
    "a=b&",
    "&",
    "%",
    "%41",
    "%3D",
    "%253D",
    ",",
    ";",
    "$",
    "$2a$",
    "$argon2id$",
    "$scrypt$a",
    "\\",
    '\\"',
    '"',
    "'",
    'b"',
    "key'",
    "api_key",
    "access_",
    "passw",
    "passwa",
    "password=",
    "password='",
    "password=[",
    'password="',
    "password:",
    "token=",
    "token='",
    "token_count=",
    "token_count=[",
    "token=1,",
    "secret.",
    "secret-",
    "cookie:",
    "cookie",
    "set-cookie:",
    "authorization:",
    "proxy-",
    "bearer",
    "basic",
    "dsn",
    "pwd",
    "input_value=",
    "--password",
    "--a",
    "-",
    "pass=",
    "otp:",
    "auth=(",
    "-----BEGIN",
    "-----BEGIN@PRIVATE@KEY-----",
    "-----BEGIN@A@PRIVATE@KEY-----x",
    "-----END",
    "-",
    "application/json;",
    "application/json@",
    ";charset",
    "charset=",
    "utf-8",
    "00-",
    "http://",
    "x=&",
    "0-0,",
    "a/b;q=0.1,",
    "{a:b}",
    ">>>@settings",
]
STARTS = ("", "password=", "://u:", "application/json")
COMPILING = {
    f"re.{name}" for name in ("compile", "match", "fullmatch", "search", "sub", "split", "findall", "finditer")
}
INLINE = {"chassis.csv_import.columns", "chassis.http.openapi", "chassis.logs.masking"}
"""Modules with patterns that are compiled inside of a function: those of the columns are found where they are kept, and
none of the others sees what a client sends."""


def modules() -> Iterator[str]:
    for found in pkgutil.walk_packages(acme_service.__path__, "acme_service."):
        # What is read from the environment comes from the operator.
        if not any(part in found.name for part in (".migrations", ".settings", ".config", ".__main__")):
            yield found.name


def patterns() -> dict[str, re.Pattern[str] | re.Pattern[bytes]]:
    found: dict[str, re.Pattern[str] | re.Pattern[bytes]] = {}
    for name in modules():
        for attribute, value in vars(importlib.import_module(name)).items():
            place = f"{name.removeprefix('acme_service.')}.{attribute}"
            found |= {place: value} if isinstance(value, re.Pattern) else {}
            if type(value).__module__ == name or getattr(value, "__module__", "") == name:  # an object, or a class
                kept = getattr(value, "__dict__", {}).items()
                found |= {f"{place}.{part}": each for part, each in kept if isinstance(each, re.Pattern)}
    return found


def hostile(start: str, piece: str, size: int) -> str:
    text = piece.replace("@", " ") if "@" in piece and len(piece) > 5 else piece
    return (start + text * (size // len(text) + 1))[: size - 1] + "!"


def seconds(function: Callable[[str], object], text: str) -> float:
    started = time.thread_time()
    function(text)
    return time.thread_time() - started


def growth(function: Callable[[str], object], start: str, piece: str) -> float:
    """How many times as long as its quarter 16 KiB take; 0 if even 64 KiB cannot take long."""
    long, short = hostile(start, piece, LONGEST // 4), hostile(start, piece, LONGEST // 16)
    if seconds(function, long) < WORTH_COMPARING_SECONDS:
        return 0.0
    found = MOST_GROWTH + 1
    for _ in range(4):  # what else the machine does may spoil one
        if found > MOST_GROWTH:
            found = seconds(function, long) / max(seconds(function, short), 1e-6)
    return found


def used(name: str, pattern: re.Pattern[str] | re.Pattern[bytes]) -> Callable[[str], object]:
    """The ways in which *pattern* is used, on a text: those of the log look for it at each place."""
    if isinstance(pattern.pattern, bytes):
        binary = re.compile(pattern.pattern, pattern.flags)
        if ".logs." in name:
            return lambda text: binary.sub(b"", text.encode())
        return lambda text: (binary.match(text.encode()), binary.fullmatch(text.encode()))
    textual = re.compile(pattern.pattern, pattern.flags)
    if ".logs." in name:
        return lambda text: textual.sub("", text)
    return lambda text: (textual.match(text), textual.fullmatch(text))


def slow(function: Callable[[str], object]) -> dict[tuple[str, str], float]:
    found = ((start, piece, growth(function, start, piece)) for start in STARTS for piece in PIECES)
    return {(start, piece): grown for start, piece, grown in found if grown > MOST_GROWTH}


@pytest.mark.parametrize("name", patterns())
def test_a_pattern_takes_linear_time(name: str) -> None:
    assert {} == slow(used(name, patterns()[name]))


@pytest.mark.parametrize("function", [Masker(["correct horse"]).text, mask_assignments])
def test_masking_takes_linear_time(function: Callable[[str], object]) -> None:
    assert {} == slow(function)


def test_each_pattern_that_sees_input_is_found() -> None:
    """A pattern that is compiled inside of a function would escape the test above."""
    inline = {
        name.removeprefix("acme_service.")
        for name in modules()
        for function in ast.walk(ast.parse(Path(str(importlib.import_module(name).__file__)).read_text("utf-8")))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in COMPILING
    }

    assert INLINE & {name.removeprefix("acme_service.") for name in modules()} == inline


def test_a_quadratic_pattern_is_seen() -> None:
    assert MOST_GROWTH < growth(used(".logs.", re.compile(r"eyJ[\w-]{5,}\.")), "", "eyJ")
