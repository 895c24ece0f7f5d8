from __future__ import annotations

import errno
import io
import os
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Any

import orjson
import pytest

from acme_service.chassis.logs.access import AccessLog
from acme_service.chassis.logs.console import console_format
from acme_service.chassis.logs.destinations import Descriptor, RotatedFile, Stream
from acme_service.chassis.logs.lines import ACCESS_LOGGER, Line, LogLines
from acme_service.chassis.logs.masking import Masker
from acme_service.chassis.logs.writer import LogQueue, LogWriter

MASKER = Masker(["hunter2hunter2"])
LINES = LogLines(service="acme-service", version="0.1.0", environment="test", masker=MASKER)


REQUEST: dict[str, Any] = {
    "level": "info",
    "request_id": "r-1",
    "method": "GET",
    "path": "/",
    "route": "/",
    "status": 200,
    "duration_ms": 1.5,
    "client": "203.0.113.7",
}


class Stuck:
    """A destination that takes nothing until it is released."""

    failure = ""

    def __init__(self) -> None:
        self.released = threading.Event()
        self.taken: list[bytes] = []

    def write(self, lines: Sequence[bytes]) -> int:
        self.released.wait(30)
        self.taken += lines
        return len(lines)

    def close(self) -> None:
        """Nothing is open."""


class Broken:
    failure = ""

    def write(self, lines: Sequence[bytes]) -> int:
        raise OSError(errno.EIO, f"{len(lines)} lines lost")

    def close(self) -> None:
        """Nothing is open."""


def test_lines_arrive_whole_and_in_order() -> None:
    output = io.BytesIO()
    writer = LogWriter(LINES, everything=[LogQueue("test", Stream(output), finish=LINES.finished)])

    for number in range(1_000):
        writer.write(b"%d\n" % number)

    assert writer.flush(5)
    assert b"".join(b"%d\n" % number for number in range(1_000)) == output.getvalue()
    assert 0 == writer.dropped


def test_a_full_lane_drops_and_counts_and_neither_blocks_nor_holds_up_another() -> None:
    stuck, output = Stuck(), io.BytesIO()
    writer = LogWriter(
        LINES,
        everything=[
            LogQueue("a", stuck, finish=LINES.finished, max_messages=100),
            LogQueue("b", Stream(output), finish=LINES.finished),
        ],
    )

    before = time.monotonic()
    for number in range(1_000):
        writer.write(b"%d\n" % number)

    assert 10.0 > time.monotonic() - before
    assert 900 == writer.dropped
    assert not writer.flush(0.2)
    assert 1_000 == output.getvalue().count(b"\n")
    stuck.released.set()
    assert writer.flush(5)
    assert [b"%d\n" % number for number in range(100)] == stuck.taken


def test_a_lane_is_bounded_in_bytes_too() -> None:
    stuck = Stuck()
    writer = LogWriter(LINES, everything=[LogQueue("a", stuck, finish=LINES.finished, max_bytes=10_000)])

    for _ in range(20):
        writer.write(b"x" * 999 + b"\n")

    assert 10 == writer.dropped
    stuck.released.set()


def test_a_lane_has_room_again_after_what_it_could_not_write() -> None:
    writer = LogWriter(LINES, everything=[LogQueue("a", Broken(), finish=LINES.finished, max_messages=10)])

    for _ in range(3):
        for _ in range(10):
            writer.write(b"x\n")
        assert writer.flush(5)

    assert 30 == writer.dropped


def test_a_lane_has_room_for_as_many_bytes_again() -> None:
    output = io.BytesIO()
    writer = LogWriter(LINES, everything=[LogQueue("a", Stream(output), finish=LINES.finished, max_bytes=1_000)])
    access_log = AccessLog(writer)

    for _ in range(3):
        writer.write(b"x" * 499 + b"\n")
        access_log.line(**REQUEST)
        assert writer.flush(5)

    assert 0 == writer.dropped


def test_a_request_that_waits_to_be_written_takes_its_room_however_long_its_path_is() -> None:
    stuck = Stuck()
    writer = LogWriter(LINES, everything=[LogQueue("a", stuck, finish=LINES.finished, max_bytes=10_000)])
    access_log = AccessLog(writer)

    for _ in range(4):
        access_log.line(**REQUEST | {"path": "/" + "x" * 4_000})
    assert 2 == writer.dropped
    for _ in range(10):
        access_log.line(**REQUEST)

    assert 2 < writer.dropped < 12
    stuck.released.set()


def test_many_threads_lose_no_line() -> None:
    output = io.BytesIO()
    writer = LogWriter(LINES, everything=[LogQueue("a", Stream(output), finish=LINES.finished)])

    def write() -> None:
        for _ in range(2_000):
            writer.write(b"x\n")

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert writer.flush(5)
    assert 8_000 == output.getvalue().count(b"\n")


def test_only_errors_go_to_the_destination_of_errors() -> None:
    everything, errors = io.BytesIO(), io.BytesIO()
    writer = LogWriter(
        LINES,
        everything=[LogQueue("a", Stream(everything), finish=LINES.finished)],
        errors=[LogQueue("b", Stream(errors), finish=LINES.finished)],
    )

    writer.write(b"info\n")
    writer.write(b"error\n", error=True)

    assert writer.flush(5)
    assert (b"info\nerror\n", b"error\n") == (everything.getvalue(), errors.getvalue())


def test_a_full_pipe_holds_only_whole_lines() -> None:
    reading, writing = os.pipe()
    writer = LogWriter(LINES, everything=[LogQueue("a", Descriptor(writing), finish=LINES.finished)])
    lines = [orjson.dumps(["x" * (number * 37 % 6_000)]) + b"\n" for number in range(200)]
    for line in lines:
        writer.write(line)
    assert not writer.flush(0.5)

    in_the_pipe = os.read(reading, 1_000_000)

    assert in_the_pipe.endswith(b"\n")
    assert lines[: in_the_pipe.count(b"\n")] == in_the_pipe.splitlines(keepends=True)
    rest = b""
    while (in_the_pipe + rest).count(b"\n") < len(lines):
        rest += os.read(reading, 1_000_000)
    assert b"".join(lines) == in_the_pipe + rest


def test_a_closed_writer_has_written_what_was_queued_and_drops_what_comes_later() -> None:
    reading, writing = os.pipe()
    before = set(threading.enumerate())
    writer = LogWriter(LINES, everything=[LogQueue("a", Descriptor(writing), finish=LINES.finished)])
    [thread] = set(threading.enumerate()) - before
    os.close(writing)

    writer.write(b"queued\n")
    writer.close()
    writer.write(b"late\n")
    thread.join(5)

    assert (False, 1) == (thread.is_alive(), writer.dropped)
    with open(reading, "rb") as pipe:  # noqa: PTH123 - a descriptor
        assert b"queued\n" == pipe.read()


def test_a_pipe_without_a_reader_costs_lines_and_nothing_else() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    writer = LogWriter(LINES, everything=[LogQueue("a", Descriptor(writing), finish=LINES.finished)])

    for _ in range(5):
        writer.write(b"x\n")

    assert writer.flush(5)
    assert 5 == writer.dropped


def test_a_file_is_rotated_at_its_size_and_the_oldest_goes(tmp_path: Path) -> None:
    file = RotatedFile(tmp_path / "deep" / "log", max_bytes=100, kept=3)

    for number in range(60):
        assert 1 == file.write([b"%09d\n" % number])

    assert ["log", "log.1", "log.2", "log.3"] == sorted(path.name for path in (tmp_path / "deep").iterdir())
    assert b"".join(b"%09d\n" % number for number in range(50, 60)) == (tmp_path / "deep" / "log").read_bytes()
    assert (tmp_path / "deep" / "log.3").read_bytes().startswith(b"000000020\n")


def test_one_batch_may_fill_several_files(tmp_path: Path) -> None:
    file = RotatedFile(tmp_path / "log", max_bytes=100, kept=5)

    assert 35 == file.write([b"%09d\n" % number for number in range(35)])

    assert [50, 100, 100, 100] == [(tmp_path / name).stat().st_size for name in ("log", "log.1", "log.2", "log.3")]


def test_a_file_that_was_moved_away_is_made_anew(tmp_path: Path) -> None:
    file = RotatedFile(tmp_path / "log")
    file.write([b"a\n"])
    (tmp_path / "log").rename(tmp_path / "kept")

    file.write([b"b\n"])

    assert (b"a\n", b"b\n") == ((tmp_path / "kept").read_bytes(), (tmp_path / "log").read_bytes())


def test_two_processes_may_share_a_file_and_its_rotation(tmp_path: Path) -> None:
    ours, theirs = RotatedFile(tmp_path / "log", max_bytes=100), RotatedFile(tmp_path / "log", max_bytes=100)

    for _ in range(15):
        ours.write([b"ours 6789\n"])
        theirs.write([b"theirs 89\n"])

    assert [100, 100, 100] == [(tmp_path / name).stat().st_size for name in ("log", "log.1", "log.2")]
    assert 3 == len(list(tmp_path.iterdir()))


def test_a_log_file_that_cannot_be_is_rejected_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(FileExistsError):
        RotatedFile(tmp_path / "file" / "log")


@pytest.mark.parametrize(
    "path",
    [
        "/api/users/1",
        "/a\nb\r\x00\x1b[31m",
        "/\u2028\u2029\u202e\x85",
        "/\udc80",
        "/token=hunter3",
        "/hunter2hunter2",
        "/https://u:hunter3@h",
        "/eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln",
        "/a?password=hunter3&b=1",
        '/"},{"level":"critical"',
        "/" + "x" * 100_000,
        "/Bearer abcDEF123",
    ],
)
@pytest.mark.parametrize("client", ["203.0.113.7", "2001:db8::1", "Bearer abcDEF123"])
def test_the_access_line_is_what_the_chain_would_write(path: str, client: str) -> None:
    output = io.BytesIO()
    writer = LogWriter(LINES, everything=[LogQueue("a", Stream(output), finish=LINES.finished)])
    fields: dict[str, Any] = {"request_id": "r-1", "method": "GET", "path": path, "route": "/{p}", "client": client}
    fields |= {"status": 200, "duration_ms": 1.5}

    AccessLog(writer, level="info").line(level="info", **fields)
    writer.write(LINES.line("info", ACCESS_LOGGER, {"event": "request", **fields}))

    assert writer.flush(5)
    access, chain = [orjson.loads(line) for line in output.getvalue().splitlines()]
    assert b"hunter" not in output.getvalue()
    assert chain.pop("timestamp") >= access.pop("timestamp")
    assert chain == access


def test_an_access_line_below_the_level_is_not_written() -> None:
    output = io.BytesIO()
    writer = LogWriter(LINES, everything=[LogQueue("a", Stream(output), finish=LINES.finished)])

    AccessLog(writer, level="info").line(**REQUEST | {"level": "debug"})

    assert writer.flush(5)
    assert b"" == output.getvalue()


def test_an_access_line_tells_the_time_of_the_answer_and_not_that_of_writing() -> None:
    stuck = Stuck()
    writer = LogWriter(LINES, everything=[LogQueue("a", stuck, finish=LINES.finished)])
    writer.write(b"first\n")
    time.sleep(0.1)  # the lane waits for more lines, and is then stuck

    before = datetime.now(UTC)
    AccessLog(writer).line(**REQUEST)
    after = datetime.now(UTC)
    time.sleep(0.02)
    stuck.released.set()

    assert writer.flush(5)
    assert before <= datetime.fromisoformat(orjson.loads(stuck.taken[1])["timestamp"]) <= after


def test_a_status_that_is_a_member_of_an_enumeration_is_a_number() -> None:
    class Status(int, Enum):
        TEAPOT = 418

    output = io.BytesIO()
    writer = LogWriter(LINES, everything=[LogQueue("a", Stream(output), finish=LINES.finished)])

    AccessLog(writer).line(**REQUEST | {"status": Status.TEAPOT})

    assert writer.flush(5)
    assert 418 == orjson.loads(output.getvalue())["status"]


def test_a_path_template_is_escaped_and_masked_like_every_field() -> None:
    output = io.BytesIO()
    writer = LogWriter(LINES, everything=[LogQueue("a", Stream(output), finish=LINES.finished)])

    AccessLog(writer).line(**REQUEST | {"route": '/"\u2028hunter2hunter2'})

    assert writer.flush(5)
    assert b'"route":"/\\"\\u2028***"' in output.getvalue()


def test_a_line_that_cannot_be_finished_costs_no_other_its_place() -> None:
    def finish(line: Line) -> bytes:
        if line == b"bad":
            raise ValueError
        return LINES.finished(line)

    output = io.BytesIO()
    writer = LogWriter(LINES, everything=[LogQueue("a", Stream(output), finish=finish)])
    for line in (b"before\n", b"bad", b"after\n"):
        writer.write(line)

    assert writer.flush(5)
    assert (b"before\nafter\n", 1) == (output.getvalue(), writer.dropped)


def test_the_console_shows_a_traceback_of_a_line_that_was_too_long() -> None:
    def fail(depth: int) -> None:
        if depth:
            fail(depth - 1)
        raise ValueError("too deep")

    try:
        fail(60)
    except ValueError as error:
        fields: dict[str, object] = {"event": "failed", "much": ["x" * 600] * 100, "exc_info": error}
        line = LINES.line("error", "app", fields)

    text = console_format(LINES, colours=False)(line).decode()

    assert "  ... (30 more)" in text.splitlines()
    assert "  ValueError: too deep" in text.splitlines()


def test_the_console_shows_requests() -> None:
    output = io.BytesIO()
    console = console_format(LINES, colours=False)
    writer = LogWriter(LINES, everything=[LogQueue("a", Stream(output), finish=console)])

    AccessLog(writer).line(**REQUEST)

    assert writer.flush(5)
    line = output.getvalue().decode().partition(" ")[2]
    assert "info     request  request_id=r-1 method=GET path=/ route=/ status=200 duration_ms=1.5" in line


def test_the_console_is_readable_and_as_safe_as_the_json() -> None:
    try:
        int("bad\x1b[31m\nvalue password=hunter3")
    except ValueError as error:
        fields: dict[str, object] = {"event": "failed\n\u2028", "user": "1", "token": "hunter3", "exc_info": error}
        line = LINES.line("error", "app.users", fields)

    text = console_format(LINES, colours=False)(line).decode()

    head, *rest = text.splitlines()
    assert "error    failed\\n\\u2028  user=1 token=***  [app.users]" == head.partition(" ")[2]
    assert rest[-1].startswith("  ValueError: invalid literal for int() with base 10: 'bad")
    assert "password=***" in rest[-1]
    assert any(f"{Path(__file__).name}:" in part for part in rest)
    assert "hunter3" not in text
    assert "\x1b" not in text


def test_the_console_shows_the_members_of_an_exception_group() -> None:
    group = ExceptionGroup("both", [ValueError("a"), KeyError("b")])
    fields: dict[str, object] = {"event": "failed", "exc_info": group}

    text = console_format(LINES, colours=False)(LINES.line("error", "app", fields)).decode()

    assert ["  ValueError: a", "  KeyError: 'b'"] == text.splitlines()[3::2]


def test_the_console_is_coloured_on_request() -> None:
    line = LINES.line("warning", "app", {"event": "careful"})

    assert b"\x1b[33mwarning" in console_format(LINES, colours=True)(line)
