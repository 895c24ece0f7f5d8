"""What really leaves the process, on which descriptor, and when it cannot."""

from __future__ import annotations

import fcntl
import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import orjson
import pytest

CONFIGURE = """
import asyncio, logging, os, signal, sys, threading, time, warnings
from pathlib import Path
import structlog
from acme_service.chassis.logs.setup import AccessLog, UnhandledExceptionHooks, configure_logging
from acme_service.chassis.context import request_id

log = structlog.get_logger("app.users")
writer = configure_logging(
    level="info",
    json_lines=os.environ.get("FORM", "json") == "json",
    file=Path(os.environ["FILE"]) if "FILE" in os.environ else None,
    service="acme-service",
    version="0.1.0",
    environment="test",
    secrets=["canary-known-1", "postgresql://u:canary-known-2@db/app"],
)
counted = []
exception_hooks = UnhandledExceptionHooks(lambda place, error: counted.append(place))
exception_hooks.install()
"""


def program(body: str) -> list[str]:
    return [sys.executable, "-c", CONFIGURE + body]


def run(
    body: str, *, limit: Callable[[], None] | None = None, **environment: str
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        program(body),
        env=os.environ | environment,
        capture_output=True,
        timeout=30,
        check=False,
        preexec_fn=limit,
    )


def lines_of(output: bytes) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in output.splitlines()]


@contextmanager
def started(body: str, *, stdout: int, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    variables = os.environ | environment
    with subprocess.Popen(program(body), stdout=stdout, stderr=subprocess.PIPE, env=variables) as process:
        try:
            yield process
        finally:
            process.kill()


def test_every_logger_writes_the_same_shape_to_stdout_and_nothing_else_is_written() -> None:
    result = run("""
request_id.set("r-1")
log.info("from structlog", user="1")
logging.getLogger("uvicorn.error").info("from %s", "uvicorn", extra={"color_message": "x", "port": 1})
logging.getLogger("uvicorn.access").error("never")
logging.getLogger("alembic.runtime.migration").info("never")
logging.getLogger("alembic.runtime.migration").warning("from alembic")
logging.getLogger("sqlalchemy.engine.Engine").info("never")
logging.getLogger("sqlalchemy.pool").warning("from sqlalchemy")
warnings.warn("from warnings")
logging.getLogger("app").error("wrong %d", "format")
AccessLog(writer).line(
    level="info", request_id="r-1", method="GET", path="/", route="/", status=200, duration_ms=1.5, client="::1"
)
log.debug("never")
""")

    lines = lines_of(result.stdout)
    assert (0, b"") == (result.returncode, result.stderr)
    assert [
        ("app.users", "info", "from structlog"),
        ("uvicorn.error", "info", "from uvicorn"),
        ("alembic.runtime.migration", "warning", "from alembic"),
        ("sqlalchemy.pool", "warning", "from sqlalchemy"),
        ("py.warnings", "warning", "from warnings"),
        ("app", "error", "wrong %d (its arguments do not fit)"),
        ("chassis.access", "info", "request"),
    ] == [(line["logger"], line["level"], line["event"]) for line in lines]
    common = {"timestamp", "level", "event", "request_id", "logger", "service", "version", "environment"}
    assert all(common <= set(line) for line in lines)


def test_the_access_line_is_the_chains_line_whatever_the_path() -> None:
    result = run(r"""
for path in ["/", "/a\nb\x1b\x00", "/\u2028\x85\u202e", "/\udc80", "/?password=canary", "/canary-known-1", '/"}']:
    fields = dict(request_id="r", method="GET", path=path, route="/", status=200, duration_ms=1.5, client="::1")
    AccessLog(writer).line(level="info", **fields)
    structlog.get_logger("chassis.access").info("request", **fields)
""")

    lines = lines_of(result.stdout)
    for line in lines:
        line.pop("timestamp")
    assert lines[0::2] == lines[1::2]
    assert 14 == len(lines)
    assert b"canary" not in result.stdout


def test_each_printed_line_is_one_event_and_nothing_is_written_around_the_log() -> None:
    result = run("""
from acme_service.chassis.logs.setup import log_what_is_printed
print("before", flush=False)
log_what_is_printed()
request_id.set("r-1")
print("one", 1)
print("two", end="", flush=True)
print(" and\\nthree\\n\\n   ")
print("\\x1b[31m\\udc80", "password=canary")
sys.stdout.buffer.write(b"\\xff\\r\\n")
sys.stdout.flush()
print("x" * 70_000, end="", flush=True)
structlog.get_logger("app").info("four")
""")

    before, _, logged = result.stdout.partition(b"\n")
    *printed, long, four = lines_of(logged)
    assert (0, b"", b"before") == (result.returncode, result.stderr, before)
    assert ["one 1", "two and", "three", "\x1b[31m\\udc80 password=***", "\\xff"] == [line["event"] for line in printed]
    assert ("xxx", "four") == (long["event"][:3], four["event"])
    assert {("stdout", "info", "r-1")} == {
        (line["logger"], line["level"], line["request_id"]) for line in [*printed, long]
    }


def test_the_descriptor_stays_open_when_its_stream_is_replaced() -> None:
    result = run("""
from acme_service.chassis.logs.setup import log_what_is_printed
sys.stdout = os.fdopen(1, "w")
log_what_is_printed()
os.write(1, b"still open\\n")
os._exit(0)
""")

    assert (0, b"still open\n", b"") == (result.returncode, result.stdout, result.stderr)


def test_a_planted_secret_never_leaves_the_process() -> None:
    body = """
import io, gc
log.info("canary-known-1", password="canary-1", a=[dict(api_key="canary-2")], headers=[(b"cookie", b"canary-3")])
log.info("x", url="redis://:canary-4@h", text="token=canary-5", seen="Bearer canary-6ABC")
log.info("x", **dict([("canary-known-1", 1)]))
log.bind(client_secret="canary-7").warning("x")
logging.getLogger("any").warning("login %s", dict(password="canary-8"), extra=dict(token="canary-9"))
logging.getLogger("any").error("canary-known-2", exc_info=(ValueError, ValueError("secret=canary-10"), None))
warnings.warn("password='canary-11'")
try:
    try:
        raise KeyError("postgresql://u:canary-12@h/d")
    except KeyError:
        raise RuntimeError("authorization: canary-13")
except RuntimeError:
    log.exception("failed", token="canary-14")
def fail(): raise ValueError("api_key=canary-15")
thread = threading.Thread(target=fail); thread.start(); thread.join()
class Finaliser:
    def __del__(self): raise ValueError("password=canary-16")
Finaliser()
async def main():
    asyncio.get_running_loop().set_exception_handler(exception_hooks.loop_exception_handler)
    task = asyncio.get_running_loop().create_task(lost(), name="lost")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    del task
    gc.collect()
async def lost(): raise ValueError("secret=canary-17")
asyncio.run(main())
log.info("counted", places=counted)
raise SystemError("dsn=canary-18")
"""
    for form in ("json", "console"):
        result = run(body, FORM=form)

        assert 1 == result.returncode
        assert b"" == result.stderr
        assert not re.findall(rb"canary[\w-]*", result.stdout)
        assert 4 == result.stdout.count(b"unhandled exception")
        assert b'["thread","finaliser","loop"]' in result.stdout
        assert b"***" in result.stdout


def test_what_nobody_caught_is_one_line_with_its_frames() -> None:
    result = run("raise ValueError('first\\nsecond')")

    [line] = lines_of(result.stdout)
    assert (1, b"") == (result.returncode, result.stderr)
    assert ("error", "main", "ValueError") == (line["level"], line["place"], line["exception"]["type"])
    assert line["exception"]["frames"]


def test_a_failing_import_is_told_of_before_anything_counts() -> None:
    configure, _, _ = CONFIGURE.partition("counted = []")
    program_text = configure + "import acme_service.does_not_exist"
    result = subprocess.run([sys.executable, "-c", program_text], capture_output=True, timeout=30, check=False)

    [line] = lines_of(result.stdout)
    assert (1, b"") == (result.returncode, result.stderr)
    assert "ModuleNotFoundError" == line["exception"]["type"]


def test_no_name_of_a_field_and_no_format_makes_a_call_fail() -> None:
    result = run("""
hostile = dict(event="forged", self=1, method_name=2, level="critical", name=3, _logger=4)
log.info("x", **hostile)
log.debug("never", **hostile)
log.exception("y", **hostile)
log.info("100% of %d", "z")
log.warning("%s of %s", 1, 2)
""")

    lines = lines_of(result.stdout)
    assert (0, b"") == (result.returncode, result.stderr)
    assert ["x", "y", "100% of %d (its arguments do not fit)", "1 of 2"] == [line["event"] for line in lines]
    assert ("forged", 1, 2, "critical") == tuple(lines[0][name] for name in ("event_", "self", "method_name", "level_"))


def test_an_interrupt_from_the_keyboard_is_no_error() -> None:
    result = run("os.kill(os.getpid(), signal.SIGINT); time.sleep(5)")

    assert (-signal.SIGINT, b"") == (result.returncode, result.stderr)
    assert ["info"] == [line["level"] for line in lines_of(result.stdout)]


def test_everything_queued_is_written_before_exit() -> None:
    for ending in ("", "sys.exit(3)", "writer.flush(5); os._exit(0)", "writer.flush(5); log.info('last')"):
        result = run(f"for n in range(5_000): log.info('x', n=n)\n{ending}")

        numbers = [line["n"] for line in lines_of(result.stdout) if "n" in line]
        assert list(range(5_000)) == numbers
        assert ending.endswith("('last')") == (b'"last"' in result.stdout)


def test_a_flush_may_be_interrupted_by_a_signal_that_flushes() -> None:
    result = run("""
signal.signal(signal.SIGALRM, lambda *_: writer.flush(5))
for n in range(3_000):
    signal.setitimer(signal.ITIMER_REAL, 0.00002 * (1 + n % 10))
    writer.flush(5)
signal.setitimer(signal.ITIMER_REAL, 0)
log.info("last")
""")

    assert (0, b"") == (result.returncode, result.stderr)
    assert ["last"] == [line["event"] for line in lines_of(result.stdout)]


def test_a_blocked_stdout_blocks_neither_the_caller_nor_the_exit() -> None:
    reading, writing = os.pipe()
    body = """
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
began = time.monotonic()
for n in range(50_000): log.info("x", n=n)
sys.stderr.write(f"{time.monotonic() - began} {writer.dropped}\\n"); sys.stderr.flush()
while True: log.info("more"); time.sleep(0.01)
"""
    with started(body, stdout=writing) as process:
        os.close(writing)
        assert process.stderr is not None
        seconds, dropped = map(float, process.stderr.readline().split())
        before = time.monotonic()
        process.send_signal(signal.SIGTERM)

        assert 7 == process.wait(10)
        assert 4.0 > time.monotonic() - before
    assert 20.0 > seconds
    assert 10_000 < dropped
    with os.fdopen(reading, "rb") as unread:
        lines = lines_of(unread.read())
    assert list(range(len(lines))) == [line["n"] for line in lines]


def test_a_reader_that_returns_gets_whole_lines_and_the_later_ones() -> None:
    reading, writing = os.pipe()
    body = """
for n in range(40_000): log.info("x", n=n)
sys.stderr.write(f"{writer.dropped}\\n"); sys.stderr.flush()
writer.flush(20)
log.info("last")
"""
    with started(body, stdout=writing) as process:
        os.close(writing)
        assert process.stderr is not None
        dropped = int(process.stderr.readline())
        with os.fdopen(reading, "rb") as unread:
            lines = lines_of(unread.read())
        assert 0 == process.wait(10)
    assert 40_000 - dropped == len(lines) - 1
    assert 10_000 < dropped
    assert "last" == lines[-1]["event"]


@pytest.mark.parametrize("how", ["the reader is gone", "closed before the start"])
def test_a_closed_stdout_is_counted_and_nothing_else(how: str, tmp_path: Path) -> None:
    body = """
other = open(sys.argv[1], "w")
for n in range(1_000): log.info("x", n=n)
writer.flush(5)
sys.stderr.write(f"{writer.dropped} {os.path.getsize(sys.argv[1])}")
"""
    reading, writing = os.pipe()
    os.close(reading)
    close: Callable[[], None] | None = (lambda: os.close(1)) if how == "closed before the start" else None
    result = subprocess.run(
        [*program(body), tmp_path / "other"],
        stdout=writing,
        stderr=subprocess.PIPE,
        timeout=30,
        check=False,
        preexec_fn=close,
    )
    os.close(writing)

    assert (0, b"1000 0") == (result.returncode, result.stderr)


def test_a_full_disk_under_the_log_file_costs_lines_until_there_is_room_again(tmp_path: Path) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))

    result = run(
        """
import resource
for n in range(2_000): log.info("x", n=n)
writer.flush(5)
dropped = writer.dropped
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
log.error("again")
sys.stderr.write(f"{dropped}")
""",
        limit=limit,
        FILE=str(tmp_path / "log"),
    )

    in_file = lines_of((tmp_path / "log").read_bytes())
    told = [line for line in lines_of(result.stdout) if line["event"] == "log file cannot be written"]
    assert 2_001 == len(lines_of(result.stdout)) - len(told)
    assert [("error", str(tmp_path / "log"), "File too large")] == [
        (line["level"], line["file"], line["reason"]) for line in told
    ]
    assert 2_001 == len(in_file) + int(result.stderr)
    assert 100 < int(result.stderr)
    assert "again" == in_file[-1]["event"]
    assert ["again"] == [line["event"] for line in lines_of((tmp_path / "log.error").read_bytes())]


def log_twice(obstacle: str) -> str:
    """The body of a program that logs, meets *obstacle*, and logs on."""
    repeated = "for n in range(3):\n    log.info('x', n=n)\n    writer.flush(5)\n"
    return f"import shutil\nfile = Path(os.environ['FILE'])\n{repeated}{obstacle}\n{repeated}"


@pytest.mark.parametrize(
    ("obstacle", "reason"),
    [
        ("shutil.rmtree(file.parent); file.parent.write_text('')", "Not a directory"),
        ("file.unlink(); file.mkdir()", "Is a directory"),
        ("file.unlink(); file.symlink_to(file)", "Too many levels of symbolic links"),
        ("file.unlink(); file.symlink_to('/dev/full')", "No space left on device"),
    ],
)
def test_a_log_file_that_cannot_be_written_is_told_on_stdout_once(obstacle: str, reason: str, tmp_path: Path) -> None:
    file = tmp_path / "logs" / "log"

    result = run(log_twice(obstacle), FILE=str(file))

    lines = lines_of(result.stdout)
    assert 6 == len([line for line in lines if line["event"] == "x"])
    assert [(str(file), reason)] == [
        (line["file"], line["reason"]) for line in lines if line["event"] == "log file cannot be written"
    ]


def test_a_log_file_that_fails_again_is_told_of_again(tmp_path: Path) -> None:
    body = (
        log_twice("file.unlink(); file.mkdir()") + log_twice("file.rmdir()") + log_twice("file.unlink(); file.mkdir()")
    )

    result = run(body, FILE=str(tmp_path / "log"))

    told = [line["event"] for line in lines_of(result.stdout) if line["event"] != "x"]
    assert ["log file cannot be written"] * 2 == told


def test_a_blocked_stdout_does_not_hold_up_the_file(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    body = "for n in range(5_000): log.info('x', n=n)\nwriter.flush(1)\nos._exit(0)"
    with started(body, stdout=writing, FILE=str(tmp_path / "log")) as process:
        os.close(writing)
        assert 0 == process.wait(20)
    os.close(reading)

    assert list(range(5_000)) == [line["n"] for line in lines_of((tmp_path / "log").read_bytes())]


def test_a_log_file_is_json_whatever_stdout_shows(tmp_path: Path) -> None:
    result = run("log.info('x')", FORM="console", FILE=str(tmp_path / "log"))

    assert [b"x"] == re.findall(rb"^\S+ info +(\w)  \[app\.users\]$", result.stdout, re.MULTILINE)
    assert ["x"] == [line["event"] for line in lines_of((tmp_path / "log").read_bytes())]


def test_a_service_whose_stdout_nobody_reads_answers_and_stops_as_ever(tmp_path: Path, sqlite_url: str) -> None:
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    variables = {
        "PATH": os.environ["PATH"],
        "PORT": "0",
        "LOG_FILE": str(tmp_path / "log"),
        "DATABASE_URL": sqlite_url,
    }
    command = [sys.executable, "-m", "acme_service", "serve"]
    with subprocess.Popen(command, cwd=tmp_path, env=variables, stdout=writing, stderr=subprocess.PIPE) as process:
        os.close(writing)
        try:
            listening = logged(tmp_path / "log", "listening")
            with httpx2.Client(base_url=f"http://127.0.0.1:{listening['port']}") as client:
                answers = {client.get(f"/nothing/{number}").status_code for number in range(200)}
            process.send_signal(signal.SIGTERM)

            assert {404} == answers
            assert 0 == process.wait(15)
            assert process.stderr is not None
            assert b"" == process.stderr.read()
        finally:
            process.kill()
    with os.fdopen(reading, "rb") as unread:
        assert all(lines_of(unread.read()))
    in_file = lines_of((tmp_path / "log").read_bytes())
    assert 200 == [line["event"] for line in in_file].count("request")


def logged(file: Path, event: str) -> dict[str, Any]:
    """The first line of *event* in *file*, as soon as it is there."""
    ends = time.monotonic() + 30
    while time.monotonic() < ends:
        written = file.read_bytes() if file.exists() else b""
        for line in lines_of(written[: written.rfind(b"\n") + 1]):
            if line["event"] == event:
                return line
        time.sleep(0.05)
    raise AssertionError(f"no line {event!r} within 30 s")
