"""The assistant beside a bare Starlette that streams from the same provider: tokens a second, and memory."""

from __future__ import annotations

import contextlib
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from lifetime import Row
from project import HERE, LOAD_CPU, SERVER_CPU, Project, Server, Service, running

ROUNDS = 5
STREAMS, PARALLEL, TOKENS = 60, 10, 400
MANY_STREAMS = 200


def ai_chat(
    project: Project, *, rounds: int = ROUNDS, streams: int = STREAMS, many: int = MANY_STREAMS, tokens: int = TOKENS
) -> Iterator[Row]:
    """Both figures, of a project that has the feature; the sides take turns, and medians of *rounds* are compared."""
    with _provider(project, tokens) as url, project.deployed() as service:
        environment = service.environment | {
            "AI_BASE_URL": url,
            "AI_DAILY_TOKENS": "1000000000",
            "AI_MAX_COMPLETIONS_PER_USER": "1000",
        }
        bare = Service([str(project.python), str(HERE / "bare_stream.py"), "{port}"], environment)
        ours = Service(service.command, environment, service.header)
        rates: dict[str, list[float]] = {"bare": [], "ours": []}
        for _ in range(rounds):
            for name, side in (("bare", bare), ("ours", ours)):
                with running(side.command, side.environment, cpu=SERVER_CPU) as server:
                    rates[name].append(_rate(project, side, server, streams))
        with running(ours.command, ours.environment, cpu=SERVER_CPU) as server:
            _rate(project, ours, server, streams)
            before = server.resident_megabytes()
            _rate(project, ours, server, many)
            after = server.resident_megabytes()
    theirs, own = statistics.median(rates["bare"]), statistics.median(rates["ours"])
    what = f"tokens/s of {PARALLEL} streams at a time, of those of a bare Starlette with the same SDK and provider"
    yield f"{what}, medians of {rounds}; promised: 80 %", f"{own / theirs:.0%}: {own:,.0f}/s"
    yield f"resident memory before and after {many} streams of {tokens} tokens", f"{before:.0f} and {after:.0f} MB"


def _rate(project: Project, service: Service, server: Server, streams: int) -> float:
    """The tokens a second that *streams* bring."""
    options = ("--streams", streams, "--parallel", PARALLEL, "--cpu", LOAD_CPU, "--header", service.header)
    return float(project.measure("stream_load.py", server.port, *options)["tokens_per_second"])


@contextlib.contextmanager
def _provider(project: Project, tokens: int) -> Iterator[str]:
    command = [str(project.python), str(HERE / "fake_model.py"), str(tokens), str(LOAD_CPU)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}/v1"
        finally:
            process.terminate()


if __name__ == "__main__":
    for figure in ai_chat(Project(Path(sys.argv[1]))):
        print(*figure, sep=": ", flush=True)
