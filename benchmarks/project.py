"""A rendered project that is measured: its environment, a deployment of it, and servers that run for a while."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SERVER_CPU, LOAD_CPU = 0, 1
READY_TIMEOUT_SECONDS = 20.0
ADMIN = {"email": "admin@example.com", "password": "correct horse battery"}
UNLIMITED_AUTH = {
    "JWT_SECRET": secrets.token_urlsafe(48),
    "JWT_EXPIRES_IN_SECONDS": "3600",
    "AUTH_ACCOUNT_ATTEMPTS_PER_MINUTE": "10000",
    "AUTH_ADDRESS_ATTEMPTS_PER_MINUTE": "100000",
    "AUTH_REQUESTS_PER_MINUTE": "1000000",
}


@dataclass(frozen=True)
class Server:
    """A server that answers."""

    port: int
    process: subprocess.Popen[bytes]
    start_seconds: float
    """From the start of its process to its first answer."""

    def resident_megabytes(self) -> float:
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        raise SystemExit(f"no VmRSS of {self.process.pid}")

    def cpu_seconds(self) -> float:
        """What its process has spent so far, all threads together."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def post(self, path: str, body: dict[str, str], header: str = "") -> Any:
        """The parsed answer to *body*, asked with one *header* line more."""
        headers = {"Content-Type": "application/json"} | dict([header.split(": ", 1)] if header else ())
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 (http, loopback)
            return json.loads(answer.read())


@contextlib.contextmanager
def running(command: list[str], environment: dict[str, str], *, cpu: int | None = None) -> Iterator[Server]:
    """A server on a free port, which *command* may name as `{port}`; on processor *cpu* alone if that is given."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        process = subprocess.Popen(
            [part.format(port=port) for part in command],
            cwd=folder,
            env={**os.environ, **environment, "PORT": str(port)},
            stdout=subprocess.DEVNULL,
            preexec_fn=None if cpu is None else lambda: os.sched_setaffinity(0, {cpu}),
        )
        try:
            _wait_until_answered(port, process)
            yield Server(port, process, time.perf_counter() - started)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=30)


def _wait_until_answered(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + READY_TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise SystemExit(f"the server ended with {process.returncode} before it answered")
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=1).close()
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.005)
        else:
            return
    raise SystemExit(f"no answer on port {port} within {READY_TIMEOUT_SECONDS:g} s")


@dataclass(frozen=True)
class Service:
    """How to serve the project; *header* is a line that makes a request an admin's, if that makes a difference."""

    command: list[str]
    environment: dict[str, str]
    header: str = ""


class Project:
    """A rendered project after `make setup`."""

    def __init__(self, folder: Path) -> None:
        self.python = folder.resolve() / ".venv" / "bin" / "python"
        source = next(path.parent for path in (folder / "src").glob("*/app.py"))
        self.package = source.name
        self.features = {path.stem for path in (source / "features").glob("[!_]*.py")}

    def measure(self, script: str, *arguments: object, environment: dict[str, str] | None = None) -> dict[str, Any]:
        """Run one of our scripts in the project's environment and return the figures in its last line."""
        command = [str(self.python), str(HERE / script), *map(str, arguments)]
        variables = {**os.environ, **(environment or {})}
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=variables).stdout
        figures: dict[str, Any] = json.loads(output.splitlines()[-1])
        return figures

    def load(
        self, server: Server, seconds: float, *, path: str = "/", header: str = "", more: tuple[object, ...] = ()
    ) -> dict[str, float]:
        """Load *server* from a processor that it does not run on."""
        options = ("--seconds", seconds, "--cpu", LOAD_CPU, "--path", path, "--header", header, *more)
        return self.measure("load.py", server.port, *options)

    @contextlib.contextmanager
    def postgresql(self) -> Iterator[str]:
        """The address of a new PostgreSQL, on the processor of the load."""
        command = [str(self.python), str(HERE / "postgresql.py"), str(LOAD_CPU)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdin is not None  # noqa: S101 - they are pipes
            assert process.stdout is not None  # noqa: S101 - as above
            try:
                yield process.stdout.readline().strip()
            finally:
                process.stdin.close()

    @contextlib.contextmanager
    def deployed(self, database_url: str = "") -> Iterator[Service]:
        """The project as in production, with the newest schema and an admin, and without what limits a load.

        Its database is a new file of SQLite unless *database_url* names another.
        """
        command = [str(self.python), "-m", self.package]
        with tempfile.TemporaryDirectory() as folder:
            environment = {
                "APP_ENV": "production",
                "ALLOWED_HOSTS": "127.0.0.1",
                "DATABASE_URL": database_url or f"sqlite:///{folder}/bench.db",
                "DRAIN_DELAY_SECONDS": "0",
                "RATE_LIMIT_PER_MINUTE": "0",
                **(UNLIMITED_AUTH if "auth" in self.features else {}),
                **({"AI_API_KEY": secrets.token_urlsafe(16)} if "ai_chat" in self.features else {}),
            }
            _run([*command, "migrate"], environment)
            service = Service([*command, "serve"], environment)
            if "auth" in self.features:
                _run([*command, "create-admin", ADMIN["email"]], environment, typed=ADMIN["password"])
                service = Service(service.command, environment, _admin_header(service))
            yield service


def _run(command: list[str], environment: dict[str, str], *, typed: str = "") -> None:
    variables = {**os.environ, **environment}
    subprocess.run(command, check=True, env=variables, input=f"{typed}\n", text=True, stdout=subprocess.DEVNULL)


def _admin_header(service: Service) -> str:
    with running(service.command, service.environment) as server:
        return f"authorization: Bearer {server.post('/api/auth/login', ADMIN)['access_token']}"
