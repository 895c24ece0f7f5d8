"""A function of AWS Lambda in this process: its cold start, and calls in turn with the same request in process.

Runs in the environment of a rendered project that has the feature `aws_lambda`, takes its package name and how many
calls are counted, and prints the figures as one JSON object.
"""

from __future__ import annotations

import importlib
import json
import os
import statistics
import sys
import time
from typing import Any

HEADERS = {"host": "service.example.com", "x-forwarded-for": "203.0.113.7", "x-forwarded-proto": "https"}
EVENT = {
    "version": "2.0",
    "rawPath": "/",
    "rawQueryString": "",
    "headers": HEADERS,
    "requestContext": {"stage": "$default", "http": {"method": "GET", "path": "/", "sourceIp": "203.0.113.7"}},
    "isBase64Encoded": False,
}


class Context:
    """What Lambda says of an invocation."""

    aws_request_id = "call"

    def get_remaining_time_in_millis(self) -> int:
        return 30_000


async def in_process(app: Any) -> float:
    """Seconds of the same request without an event."""

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(_message: dict[str, Any]) -> None:
        """Drop it."""

    headers = [(name.encode(), value.encode()) for name, value in HEADERS.items() if name == "host"]
    scope = {"type": "http", "method": "GET", "path": "/", "headers": headers, "query_string": b"", "scheme": "https"}
    scope |= {"client": ("203.0.113.7", 0), "server": None, "http_version": "1.1", "root_path": "", "asgi": {}}
    started = time.perf_counter()
    await app(scope, receive, send)
    return time.perf_counter() - started


def main() -> None:
    """Measure and print."""
    package, count = sys.argv[1], int(sys.argv[2])
    os.environ["AWS_LAMBDA_FUNCTION_NAME"] = "service"
    output = os.dup(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the log
    handler = importlib.import_module(f"{package}.lambda_handler").handler
    if handler(EVENT, Context())["statusCode"] != 200:  # noqa: PLR2004 - OK
        raise SystemExit("the function did not respond with 200")
    figures = {"cold_cpu_seconds": time.process_time()}
    handled, processed = [], []
    for _ in range(count):
        started = time.perf_counter()
        handler(EVENT, Context())
        handled.append(time.perf_counter() - started)
        processed.append(handler._run(in_process(handler._lifespan.app)))  # noqa: SLF001 - on the same loop
    if count:
        figures["handler_us"] = statistics.median(handled) * 1e6
        figures["in_process_us"] = statistics.median(processed) * 1e6
    os.write(output, json.dumps(figures).encode() + b"\n")
    handler.close()


if __name__ == "__main__":
    main()
