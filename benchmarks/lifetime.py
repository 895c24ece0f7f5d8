"""What a running service needs and how it ends: memory under load, logins beside probes, and signals."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from project import SERVER_CPU, Project, Server, Service, running

Row = tuple[str, str]
"""What is measured, and the figure."""

FIRST_REQUESTS, MORE_REQUESTS = 10_000, 200_000
CREATES, CREATING_CLIENTS = 500, 20
SHUTDOWN_RUNS, SHUTDOWN_REQUESTS = 20, 40_000
SIGNAL_RUNS = 9
PARALLEL_LOGINS = 20


def memory(project: Project) -> Iterator[Row]:
    """Resident memory as the service works on."""
    with (
        project.deployed() as service,
        running(service.command, service.environment, cpu=SERVER_CPU) as server,
    ):
        resident = [server.resident_megabytes()]
        for count in (FIRST_REQUESTS, MORE_REQUESTS):
            _requests(project, service, server, count)
            resident.append(server.resident_megabytes())
        _create_users(service, server)
        resident.append(server.resident_megabytes())
    moments = f"fresh, after {FIRST_REQUESTS:,} requests, after {MORE_REQUESTS:,} more, after {CREATES} users created"
    yield f"resident memory: {moments}", f"{', '.join(f'{megabytes:.0f}' for megabytes in resident)} MB"


def _requests(project: Project, service: Service, server: Server, count: int) -> None:
    """At least *count* requests, in slices of the list and the identity routes."""
    done, seconds = 0.0, 2.0
    while done < count:
        for path in ("/", "/api/users"):
            figures = project.load(server, seconds, path=path, header=service.header)
            done += figures["requests_per_second"] * seconds * 1.1


def _create_users(service: Service, server: Server) -> None:
    """Create CREATES users, CREATING_CLIENTS at a time: the requests that need the most memory."""

    def create(number: int) -> None:
        user = {"name": "Ada", "email": f"ada{number}@example.com", "password": "correct horse battery"}
        server.post("/api/users", user, service.header)

    with ThreadPoolExecutor(CREATING_CLIENTS) as clients:
        list(clients.map(create, range(CREATES)))


def logins(project: Project) -> Iterator[Row]:
    """How quickly probes are answered while many log in."""
    with project.deployed() as service, running(service.command, service.environment) as server:
        figures = project.measure("logins.py", server.port, "--parallel", PARALLEL_LOGINS)
    yield (
        f"`/health/live` while {PARALLEL_LOGINS} people log in over and over, 99th percentile; promised: under 50 ms",
        f"{figures['p99_ms']:.0f} ms, at {figures['logins_per_second']:.0f} logins/s",
    )


def shutdown(project: Project) -> Iterator[Row]:
    """What a signal under load costs the clients of a balancer that notices late."""
    with project.deployed() as service:
        arguments = (project.package, SHUTDOWN_RUNS, SHUTDOWN_REQUESTS, service.header)
        figures = project.measure("shutdown.py", *arguments, environment=service.environment)
    load = f"SIGTERM under load, {figures['runs']} runs, balancer {figures['lag_seconds']:g} s late"
    outcomes = ("answered after the signal", "dropped", "refused", "failed")
    yield f"{load}: {', '.join(outcomes)}", ", ".join(f"{figures[outcome]:,}" for outcome in outcomes)
    yield "not ready after the signal, at most", f"{figures['slowest_flip_ms']:.0f} ms"
    yield (
        f"ended after the signal, at most; a drain delay of {figures['drain_delay_seconds']:g} s included",
        f"{figures['slowest_exit_s']:.2f} s, {_codes(figures['codes'])}",
    )


def signals(project: Project) -> Iterator[Row]:
    """How soon SIGTERM ends a start, at moments spread over it, and a second one a shutdown that would take longer."""
    with project.deployed() as service:
        starting, draining = _ends_of_starts(service), _ends_of_drains(service)
    for what, ends in (
        (f"SIGTERM at {SIGNAL_RUNS} moments of the start: ended after, at most", starting),
        (f"a second SIGTERM during the shutdown, {SIGNAL_RUNS} runs: ended after, at most", draining),
    ):
        seconds, codes = zip(*ends, strict=True)
        yield what, f"{max(seconds):.2f} s, {_codes(codes)}"


def _ends_of_starts(service: Service) -> list[tuple[float, int]]:
    with running(service.command, service.environment) as server:
        start_seconds = server.start_seconds
    ends = []
    for number in range(1, SIGNAL_RUNS + 1):
        variables = {**os.environ, **service.environment, "PORT": "0"}
        with subprocess.Popen(service.command, env=variables, stdout=subprocess.DEVNULL) as process:
            time.sleep(start_seconds * number / (SIGNAL_RUNS + 1))
            ends.append(_end(process))
    return ends


def _ends_of_drains(service: Service) -> list[tuple[float, int]]:
    ends = []
    for _ in range(SIGNAL_RUNS):
        with running(service.command, service.environment | {"DRAIN_DELAY_SECONDS": "20"}) as server:
            server.process.send_signal(signal.SIGTERM)
            time.sleep(0.2)
            ends.append(_end(server.process))
    return ends


def _end(process: subprocess.Popen[bytes]) -> tuple[float, int]:
    """Seconds from SIGTERM to the exit, and the exit code."""
    started = time.perf_counter()
    process.send_signal(signal.SIGTERM)
    code = process.wait(timeout=30)
    return time.perf_counter() - started, code


def _codes(codes: tuple[int, ...] | list[int]) -> str:
    distinct = sorted(set(codes))
    return f"exit code{'s' if distinct[1:] else ''} {', '.join(map(str, distinct))}"
