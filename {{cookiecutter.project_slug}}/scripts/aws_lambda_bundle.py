"""Build what a function of AWS Lambda is made of: `python scripts/aws_lambda_bundle.py UV PACKAGE [PLATFORM]`.

Writes dist/lambda, which `aws_lambda.yaml` deploys, from uv.lock and the package, with compiled bytecode, and prints
its size and what it takes to import it. `make lambda` calls this. Standard library only.
"""

from __future__ import annotations

import re
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

TARGET = Path("dist/lambda")
TEMPLATE = Path("aws_lambda.yaml")
MOST_MEGABYTES = 250
"""What Lambda takes, unzipped."""
RUNS = 7
MEASURE = """
import time
import {package}.lambda_handler
print(time.process_time())
"""


def main(uv: str, package: str, platform: str) -> int:
    """Build, measure and print; the exit code."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    runtime = re.findall(r"^ *Runtime: python(\S+)", TEMPLATE.read_text("utf-8"), re.MULTILINE)
    if runtime != [version]:
        said = ", ".join(runtime) or "none"
        print(f"{TEMPLATE}: Runtime is for Python {said}, and .venv has {version}: make both the same", file=sys.stderr)
        return 1
    shutil.rmtree(TARGET, ignore_errors=True)
    locked = ["--locked", "--no-dev", "--no-emit-project", "--no-annotate", "--no-header", "--no-hashes"]
    requirements = _run(uv, "export", "--quiet", *locked)
    there = ["--target", str(TARGET), "--python-version", version, "--compile-bytecode"]
    on = ["--python-platform", platform, "--only-binary", ":all:"] if platform else []
    _run(uv, "pip", "install", "--quiet", *there, *on, "--requirements", "-", given=requirements)
    _run(uv, "pip", "install", "--quiet", *there, "--no-deps", ".")
    size = sum(path.stat().st_size for path in TARGET.rglob("*") if path.is_file()) / 1_000_000
    print(f"{TARGET}: {size:.1f} MB of the {MOST_MEGABYTES} MB that Lambda takes, for Python {version}")
    if platform:
        print("import: not measured, because it is made for another platform")
    else:
        seconds = statistics.median(_import_seconds(package) for _ in range(RUNS))
        print(f"import of {package}.lambda_handler: {seconds:.2f} s of processor time, median of {RUNS}")
    return 0 if size <= MOST_MEGABYTES else 1


def _import_seconds(package: str) -> float:
    program = f"import sys; sys.path.insert(0, {str(TARGET)!r}){MEASURE.format(package=package)}"
    return float(_run(sys.executable, "-S", "-c", program))


def _run(*command: str, given: str | None = None) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, input=given).stdout


if __name__ == "__main__":
    _, chosen_uv, its_package, *chosen_platform = sys.argv
    try:
        sys.exit(main(chosen_uv, its_package, "".join(chosen_platform)))
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)
