"""The commands of background jobs, as an operator types them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from .process import PACKAGE, environment, run


def test_a_worker_runs_until_a_signal_and_ends_clean(folder: Path) -> None:
    command = [sys.executable, "-m", PACKAGE, "worker"]
    with subprocess.Popen(command, cwd=folder, env=environment(folder), stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        assert any('"event":"listening"' in line for line in worker.stdout)
        os.kill(worker.pid, signal.SIGTERM)
        rest = worker.stdout.read()

    assert 0 == worker.returncode
    assert '"exit_code":0' in rest


@pytest.mark.parametrize("arguments", [["list"], ["list", "--state", "failed", "--format", "json"], ["retry", "--all"]])
def test_without_jobs_the_commands_have_nothing_to_say(folder: Path, arguments: list[str]) -> None:
    result = run(folder, "jobs", *arguments)

    assert (0, "") == (result.returncode, result.stdout)


def test_a_dead_letter_that_is_not_there_is_named(folder: Path) -> None:
    result = run(folder, "jobs", "retry", "unknown")

    assert 2 == result.returncode
    assert "no dead letter has the id 'unknown'" in result.stderr
