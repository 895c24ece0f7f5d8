from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from tests.process.service import Service

pytestmark = pytest.mark.together


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_the_application_starts_ends_it_at_once_and_closes_what_was_opened(
    number: signal.Signals,
) -> None:
    with Service("hangs at the start") as service:
        service.line("starting")
        service.signal(number)

        assert service.exit_code(5) == 128 + number
        assert service.events() == ["starting", "resources closed", "stopped while starting"]
        assert service.stderr() == ""


def test_a_signal_ends_a_start_that_blocks_the_event_loop() -> None:
    with Service("blocks at the start") as service:
        service.line("starting")
        service.signal()

        assert service.exit_code(5) == 128 + signal.SIGTERM


def test_a_signal_during_the_imports_ends_the_process_without_a_traceback() -> None:
    program = (
        "from {{ cookiecutter.package_name }}.server.signals import exit_at_once_on_signals as prepare;"
        "prepare(); import time; print('prepared', flush=True); time.sleep(9)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"prepared\n"
        process.send_signal(signal.SIGINT)

        assert process.communicate(timeout=5) == (b"", b"")
        assert process.returncode == 128 + signal.SIGINT
