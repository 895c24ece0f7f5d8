"""A real PgBouncer in transaction mode before the PostgreSQL of the tests, with fewer sessions than clients."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import make_url

from tests.databases import skip_or_fail_in_ci

START_SECONDS = 10
CONFIG = """
[databases]
* = {server}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 2
logfile = {folder}/pgbouncer.log
"""


def server_of(address: str) -> tuple[str, str]:
    """How the configuration names the server at *address*, and the user who may reach it."""
    url = make_url(address)
    host = str(url.query.get("host") or url.host)
    fields = {"host": host, "port": url.query.get("port") or url.port or 5432, "user": url.username}
    if url.password:
        fields["password"] = url.password
    owner = Path(host).stat().st_uid if host.startswith("/") else pwd.getpwnam("nobody").pw_uid
    return " ".join(f"{name}={value}" for name, value in fields.items()), pwd.getpwuid(owner).pw_name


@pytest.fixture
def pgbouncer_url(postgresql_url: str) -> Iterator[str]:
    """The address of the same database, through PgBouncer."""
    if (executable := shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")) is None:
        skip_or_fail_in_ci("pgbouncer is not installed")
    server, owner = server_of(postgresql_url)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="pgb") as folder:
        Path(folder).chmod(0o777)
        config = Path(folder, "pgbouncer.ini")
        config.write_text(CONFIG.format(server=server, port=port, folder=folder))
        config.chmod(0o644)
        user = ["-u", owner] if os.geteuid() == 0 else []
        process = subprocess.Popen([executable, "-q", *user, str(config)], stdin=subprocess.DEVNULL)
        try:
            _wait(process, port)
            yield f"postgresql://service@127.0.0.1:{port}/{make_url(postgresql_url).database}"
        finally:
            process.kill()
            process.wait()


def _wait(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        assert process.poll() is None, "pgbouncer ended"
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        else:
            return
