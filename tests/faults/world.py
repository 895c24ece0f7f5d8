"""What the scenarios stand on: databases with the schema and an admin, PostgreSQL servers, and running services."""

from __future__ import annotations

import contextlib
import copy
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from chassis.process import command_in_fork
from chassis.process.service import Service

from .postgres import Cluster

PACKAGE = "acme_service"
SERVE = [sys.executable, "-m", PACKAGE, "serve"]
MORE = "faults.application"
"""The same service with the routes of `application.py` besides its own."""
ADMIN = {"email": "admin@example.com", "password": "correct horse battery"}
SETTINGS = {
    "APP_ENV": "production",
    "ALLOWED_HOSTS": "127.0.0.1,localhost",
    "JWT_SECRET": "Zr9tQv2LwXk7PbNc4GmHs8JdFy6TuEa3VoRiUz5x",
    "JWT_EXPIRES_IN_SECONDS": "3600",
    "AI_API_KEY": "none",
    "AUTH_ACCOUNT_ATTEMPTS_PER_MINUTE": "10000",
    "AUTH_ADDRESS_ATTEMPTS_PER_MINUTE": "100000",
    "AUTH_REQUESTS_PER_MINUTE": "1000000",
    "RATE_LIMIT_PER_MINUTE": "0",
    "DRAIN_DELAY_SECONDS": "0",
    "PORT": "0",
}
SECONDS = 60.0
TESTS = str(Path(__file__).parents[1])
Completed = subprocess.CompletedProcess[str]


def new_client(url: str, token: str = "", timeout: float = 30.0) -> httpx2.Client:
    """A client that keeps its connections; *token* makes it that of the token's user."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    limits = httpx2.Limits(max_connections=None)
    return httpx2.Client(base_url=url, headers=headers, timeout=timeout, limits=limits, trust_env=False)


class Running(Service):
    """The service of the render as a process: *service* in a fork, which is spared the imports, or a *command*."""

    def __init__(
        self, folder: Path, environment: dict[str, str], *, service: str = "", command: Sequence[str] = ()
    ) -> None:
        self._asking = threading.Lock()
        if command:
            self.start(list(command), cwd=folder, env=environment)
        else:
            self.fork(command_in_fork.serve, {"folder": folder, "environment": environment, "service": service})

    def port(self, listener: str = "main") -> int:
        with self._asking:  # the log has one reader
            return super().port(listener)

    def lines_so_far(self) -> list[dict[str, Any]]:
        """What the log has told by now."""
        with self._asking, contextlib.suppress(queue.Empty):
            while fresh := self._fresh.get_nowait():
                self.lines.append(fresh)
        return self.lines

    @property
    def pid(self) -> int:
        assert self.process.pid is not None
        return self.process.pid

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port()}"

    def client(self, token: str = "", timeout: float = 30.0) -> httpx2.Client:
        return new_client(self.url, token, timeout)

    def resident_megabytes(self) -> float:
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        raise ProcessLookupError(f"{self.pid} has ended")

    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def descriptors(self) -> int:
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))


@dataclass(frozen=True)
class Store:
    """A database with the newest schema and an admin, whose access token is *token*."""

    url: str
    token: str


class World:
    """What all scenarios share, each made when the first asks for it; `at` gives a scenario its own folder."""

    def __init__(self, folder: Path, closing: contextlib.ExitStack) -> None:
        self.folder = folder
        self._made = folder
        self._closing = closing
        self._making_sqlite, self._making_postgresql = threading.Lock(), threading.Lock()
        self._breaking = threading.Lock()
        self._seeds: dict[str, Store] = {}
        self._servers: list[Cluster] = []

    def at(self, folder: Path) -> World:
        """The same world for a scenario whose files are in *folder*."""
        own = copy.copy(self)
        own.folder = folder
        return own

    def sqlite(self) -> Store:
        """A new SQLite database."""
        with self._making_sqlite:
            if "sqlite" not in self._seeds:
                self._seeds["sqlite"] = self._seed(f"sqlite:///{self._made / 'seed.db'}")
        path = shutil.copy(self._made / "seed.db", self.folder / "service.db")
        return Store(f"sqlite:///{path}", self._seeds["sqlite"].token)

    def postgresql(self) -> tuple[Cluster, Store]:
        """The PostgreSQL that all share, and a new database there."""
        return self._clusters()[0], self._in(self._clusters()[0])

    @contextlib.contextmanager
    def postgresql_to_break(self) -> Iterator[tuple[Cluster, Store]]:
        """A PostgreSQL for this scenario alone, and a new database there; it is mended afterwards."""
        cluster = self._clusters()[1]
        with self._breaking:
            try:
                yield cluster, self._in(cluster)
            finally:
                cluster.mend()

    def environment(self, database_url: str, **variables: str) -> dict[str, str]:
        """What the service's commands get; *variables* come on top."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        return {**kept, "PYTHONPATH": TESTS, **SETTINGS, "DATABASE_URL": database_url, **variables}

    def serve(
        self, database_url: str, *, service: str = f"{PACKAGE}.app", command: Sequence[str] = (), **variables: str
    ) -> Running:
        """A process that serves the database at *database_url*; leave it with `with`.

        It is a fork of *service*, or the *command* where the kind of process matters.
        """
        return Running(self.folder, self.environment(database_url, **variables), service=service, command=command)

    def run(
        self, database_url: str, *arguments: str, module: str = PACKAGE, typed: str = "", **variables: str
    ) -> Completed:
        """Run one command of the service to its end."""
        return subprocess.run(
            [sys.executable, "-m", module, *arguments],
            cwd=self.folder,
            env=self.environment(database_url, **variables),
            input=typed,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )

    def _clusters(self) -> list[Cluster]:
        """The one that all share and the one to break, with the same rows in their seeds."""
        with self._making_postgresql:
            if not self._servers:
                shared = Cluster(self._made / "shared")
                self._closing.callback(shared.close)
                self._seeds["postgresql"] = self._seed(shared.seed_url)
                broken = shared.twin(self._made / "broken")
                self._closing.callback(broken.close)
                self._servers += shared, broken
            return self._servers

    def _in(self, cluster: Cluster) -> Store:
        return Store(cluster.copy_of_seed(), self._seeds["postgresql"].token)

    def _seed(self, database_url: str) -> Store:
        """Migrate, create the admin, and log in once."""
        world = self.at(self._made)
        for arguments, typed in ((["migrate"], ""), (["create-admin", ADMIN["email"]], f"{ADMIN['password']}\n")):
            done = world.run(database_url, *arguments, typed=typed)
            assert done.returncode == 0, done.stdout + done.stderr
        with world.serve(database_url) as service, service.client() as client:
            token: str = client.post("/api/auth/login", json=ADMIN).raise_for_status().json()["access_token"]
            service.signal()
            assert service.exit_code(SECONDS) == 0, service.events()
        return Store(database_url, token)


@contextlib.contextmanager
def new_world() -> Iterator[World]:
    """A world whose servers end with it."""
    with contextlib.ExitStack() as closing:
        # Short, for the path of a Unix socket has at most 107 bytes; open, for PostgreSQL runs as another user.
        folder = Path(closing.enter_context(tempfile.TemporaryDirectory(prefix="f", ignore_cleanup_errors=True)))
        folder.chmod(0o755)
        yield World(folder, closing)
