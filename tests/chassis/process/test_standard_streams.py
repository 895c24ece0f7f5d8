"""A service that was started with its standard streams closed."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from .command import CORE, environment
from .websocket_service import free_port

CLOSED = [">&-", "2>&-", "<&-", ">&- 2>&-", "<&- >&- 2>&-"]


def command(*arguments: str, closed: str) -> list[str]:
    return ["/bin/sh", "-c", f"exec {shlex.join([*CORE, *arguments])} {closed}"]


@pytest.mark.parametrize("closed", CLOSED)
def test_a_service_with_closed_streams_serves_and_stops_as_ever(folder: Path, closed: str) -> None:
    port, log = free_port(), folder / "service.log"
    variables = environment(folder, PORT=str(port), LOG_FILE=str(log))
    with subprocess.Popen(
        command("serve", closed=closed), cwd=folder, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        try:
            assert 200 == status_once_it_listens(process, port)
            process.send_signal(signal.SIGTERM)
            assert 0 == process.wait(30)
        finally:
            process.kill()
        assert process.stderr is not None
        assert b"" == process.stderr.read()

    assert "stopped" == [json.loads(line) for line in log.read_text().splitlines()][-1]["event"]
    assert b"SQLite format 3" == (folder / "service.db").read_bytes()[:15]


def status_once_it_listens(process: subprocess.Popen[bytes], port: int) -> int:
    ends = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/live", timeout=10) as response:
                return int(response.status)
        except urllib.error.URLError:
            assert process.poll() is None, process.returncode
            assert time.monotonic() < ends, "it does not listen"
            time.sleep(0.1)


@pytest.mark.parametrize(("arguments", "closed", "code"), [
    (["config"], ">&-", 0),
    (["routes"], ">&-", 0),
    (["config", "--check"], "2>&-", 78),
    (["serve"], "2>&-", 78),
])  # fmt: skip
def test_a_command_with_closed_streams_has_its_exit_code(
    folder: Path, arguments: list[str], closed: str, code: int
) -> None:
    variables = environment(folder, **({"REQUEST_TIMEOUT_SECONDS": "soon"} if code else {}))
    result = subprocess.run(
        command(*arguments, closed=closed), cwd=folder, env=variables, capture_output=True, timeout=60, check=False
    )

    assert code == result.returncode
