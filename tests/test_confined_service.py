"""The default project, served as its image is meant to be run: read-only, by a user that nobody knows.

No container is needed: a mount namespace and chroot make a root that holds the interpreter, the project, and one folder
that may be written to. Linux alone has them, and root alone may use them.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import project_environment, run
from test_generated_project import STOP_SECONDS, end_group, free_port, know_a_caller, wait_until_ready

USER = "10001"
CONFINE = f"""
set -eu
root=$1 && interpreter=$2 && project=$3 && shift 3
mount -t tmpfs -o mode=755 tmpfs "$root"
for path in /usr /bin /lib /lib32 /lib64 /dev /proc "$interpreter" "$project"; do
    if [ -L "$path" ]; then cp -P "$path" "$root$path"
    elif [ -d "$path" ]; then
        mkdir -p "$root$path"
        mount --bind "$path" "$root$path"
        mount -o remount,bind,ro "$root$path"
    fi
done
mkdir -p "$root/etc" "$root/app/data" "$root/tmp"
[ ! -e /etc/ld.so.cache ] || cp /etc/ld.so.cache "$root/etc"
chown {USER} "$root/app" "$root/tmp"  # what refuses a file there is the read-only root, and nothing else
mount -t tmpfs -o mode=755,uid={USER} tmpfs "$root/app/data"
mount -o remount,bind,ro "$root"
exec chroot --userspec={USER}:{USER} --groups={USER} "$root" env --chdir=/app "$@"
"""
SERVE = """
for folder in /app /tmp; do
    ! touch "$folder/file" 2>/dev/null || { echo "$folder can be written to"; exit 1; }
done
! id -un 2>/dev/null || { echo 'the user has a name'; exit 1; }
"$0" migrate && exec "$0" serve
"""


def test_the_service_needs_nothing_to_write_to_but_its_data(project: Path, tmp_path: Path) -> None:
    with _confined(project, tmp_path) as (base, process):
        account = know_a_caller(base)
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=STOP_SECONDS)

    assert account["active"]
    assert 0 == process.returncode, output


@contextlib.contextmanager
def _confined(project: Path, root: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Serve *project* confined to *root*, an empty folder, until the block ends; give its address and its process."""
    _need_a_mount_namespace(root)
    environment = project / ".venv" / "bin"
    interpreter = run([str(environment / "python"), "-c", "import sys; print(sys.base_prefix)"], project).strip()
    port = str(free_port())
    # As in the Dockerfile.
    variables = {"HOME": "/app", "APP_ENV": "production", "PYTHONDONTWRITEBYTECODE": "1"}
    variables |= {"JWT_SECRET": secrets.token_urlsafe(48), "AI_API_KEY": secrets.token_urlsafe(24)}
    variables["DATABASE_URL"] = "sqlite:////app/data/acme-service.db"
    process = subprocess.Popen(
        [
            *("unshare", "--mount", "sh", "-c", CONFINE, "sh", str(root), interpreter, str(project)),
            *("sh", "-c", SERVE, str(environment / "acme-service")),
        ],
        env=project_environment(PORT=port, ALLOWED_HOSTS="127.0.0.1", DRAIN_DELAY_SECONDS="0", **variables),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        process_group=0,
    )
    try:
        base = f"http://127.0.0.1:{port}"
        wait_until_ready(process, base)
        yield base, process
    finally:
        end_group(process)


def _need_a_mount_namespace(folder: Path) -> None:
    """Skip where there is none to be had; fail in CI, which leaves nothing out."""
    if shutil.which("unshare") and os.geteuid() == 0:
        tried = ["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", str(folder)]
        if subprocess.run(tried, check=False).returncode == 0:
            return
    reason = "a read-only root cannot be tried: it takes Linux, root, and the right to make a mount namespace"
    if os.environ.get("CI"):
        pytest.fail(f"{reason}; CI tests everything", pytrace=False)
    pytest.skip(reason)
