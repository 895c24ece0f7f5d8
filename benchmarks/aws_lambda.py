"""What a function of AWS Lambda costs: its cold start, and each call over the same request in process."""

from __future__ import annotations

import os
import statistics
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from lifetime import Row
from project import HERE, Project

COLD_STARTS = 7


def aws_lambda(project: Project, *, calls: int = 1000, cold_starts: int = COLD_STARTS) -> Iterator[Row]:
    """Both figures, of a project that has the feature; the start with compiled bytecode, and with an empty database."""
    source = project.python.parents[2] / "src"
    subprocess.run([project.python, "-m", "compileall", "-q", source, project.python.parents[1] / "lib"], check=True)
    with tempfile.TemporaryDirectory() as folder:
        environment = {
            "APP_ENV": "development",
            "DATABASE_URL": f"sqlite:///{Path(folder) / 'service.db'}",
        }
        command = [str(project.python), "-m", project.package, "migrate"]
        subprocess.run(command, check=True, env={**os.environ, **environment}, stdout=subprocess.DEVNULL)

        def measured(count: int) -> dict[str, float]:
            return project.measure(str(HERE / "lambda_calls.py"), project.package, count, environment=environment)

        colds = [measured(0)["cold_cpu_seconds"] for _ in range(cold_starts)]
        figures = measured(calls)
    what = f"processor time of a cold start on AWS Lambda to its first response, median of {cold_starts}"
    yield f"{what}; promised: under 1.2 s", f"{statistics.median(colds):.2f} s"
    what = f"what an event adds to the same request in process, medians of {calls:,}; promised: under 200 us"
    yield what, f"{figures['handler_us'] - figures['in_process_us']:.0f} us"
