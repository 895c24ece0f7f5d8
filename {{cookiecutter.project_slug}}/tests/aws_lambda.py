"""Lambda on this machine: events as AWS documents them, and a function whose calls come over the real runtime API.

The API is "Building a custom runtime for AWS Lambda" of AWS's documentation; the client of it, awslambdaric, is the one
that Lambda itself runs.
"""

from __future__ import annotations

import base64
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self, cast
from urllib.parse import parse_qs, quote

from .process import PACKAGE

CLIENT = "203.0.113.7"
DOMAIN = "service.example.com"
SECONDS = 30.0
Headers = Mapping[str, str]


class FunctionError(Exception):
    """The function raised; its argument is what the runtime said to Lambda."""


def _body(content: bytes) -> dict[str, Any]:
    """As gateways send it: text as it is, and anything else in Base64."""
    try:
        return {"body": content.decode() or None, "isBase64Encoded": False}
    except UnicodeDecodeError:
        return {"body": base64.b64encode(content).decode(), "isBase64Encoded": True}


def http_api(  # noqa: PLR0913 - what a request has
    method: str = "GET",
    path: str = "/",
    *,
    query: str = "",
    headers: Headers | None = None,
    body: bytes = b"",
    stage: str = "$default",
    cookies: list[str] | None = None,
) -> dict[str, Any]:
    """Of an HTTP API, in the payload format 2.0; a function URL sends the same."""
    raw = path if stage == "$default" else f"/{stage}{path}"
    http = {"method": method, "path": raw, "protocol": "HTTP/1.1", "sourceIp": CLIENT, "userAgent": "test"}
    forwarded = {"x-forwarded-for": CLIENT, "x-forwarded-port": "443", "x-forwarded-proto": "https"}
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": raw,
        "rawQueryString": query,
        **({"cookies": cookies} if cookies else {}),
        "headers": {"host": DOMAIN, **forwarded, **(headers or {})},
        "requestContext": {"accountId": "1", "apiId": "a", "domainName": DOMAIN, "http": http, "stage": stage},
        **_body(body),
    }


def function_url(*args: Any, **named: Any) -> dict[str, Any]:
    """Of a function URL: as of an HTTP API, under a domain of its own."""
    domain = "abcdefgh.lambda-url.eu-central-1.on.aws"
    event = http_api(*args, **named)
    event["headers"]["host"] = event["requestContext"]["domainName"] = domain
    return event


def rest_api(
    method: str = "GET", path: str = "/", *, query: str = "", headers: Headers | None = None, body: bytes = b""
) -> dict[str, Any]:
    """Of a REST API, in the payload format 1.0; its path has no stage."""
    sent = {"Host": DOMAIN, "X-Forwarded-For": CLIENT, "X-Forwarded-Proto": "https", **(headers or {})}
    values = parse_qs(query, keep_blank_values=True)
    return {
        "resource": "/{proxy+}",
        "path": path,
        "httpMethod": method,
        "headers": sent,
        "multiValueHeaders": {name: [value] for name, value in sent.items()},
        "queryStringParameters": {name: each[-1] for name, each in values.items()} or None,
        "multiValueQueryStringParameters": values or None,
        "pathParameters": {"proxy": path.lstrip("/")},
        "requestContext": {"stage": "prod", "path": f"/prod{path}", "identity": {"sourceIp": CLIENT}},
        **_body(body),
    }


def balancer(  # noqa: PLR0913 - as above
    method: str = "GET",
    path: str = "/",
    *,
    query: str = "",
    headers: Headers | None = None,
    body: bytes = b"",
    multiple: bool = False,
) -> dict[str, Any]:
    """Of an Application Load Balancer, whose target group has *multiple* values of a header or not."""
    sent = {"host": DOMAIN, "x-forwarded-for": CLIENT, "x-forwarded-proto": "https", **(headers or {})}
    values = {quote(name): [quote(e) for e in each] for name, each in parse_qs(query).items()}  # not decoded
    if multiple:
        named = {"multiValueHeaders": {name: [value] for name, value in sent.items()}}
        named |= {"multiValueQueryStringParameters": values}
    else:
        last = {name: each[-1] for name, each in values.items()}
        named = {"headers": cast("Any", sent), "queryStringParameters": cast("Any", last)}
    target = "arn:aws:elasticloadbalancing:eu-central-1:1:targetgroup/service/1"
    return {
        "requestContext": {"elb": {"targetGroupArn": target}},
        "httpMethod": method,
        "path": path,
        **named,
        **_body(body),
    }


class Function:
    """The function in a process of its own, called with one event at a time; leaving the context kills it."""

    def __init__(self, folder: Path, handler: str = f"{PACKAGE}.lambda_handler.handler", **variables: str) -> None:
        self._next: queue.Queue[tuple[str, bytes, float]] = queue.Queue()
        self._results: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self.calls = 0
        self.init_errors: list[bytes] = []
        self.restoring, self.restored = threading.Event(), threading.Event()
        """Whether the runtime waits to be restored from a snapshot, and whether it is: only with SnapStart."""
        self._api = ThreadingHTTPServer(("127.0.0.1", 0), self._routes())
        threading.Thread(target=self._api.serve_forever, daemon=True).start()
        self.lines: list[dict[str, Any]] = []
        environment = {
            "PATH": os.environ["PATH"],
            "APP_ENV": "development",
            "DATABASE_URL": f"sqlite:///{folder / 'service.db'}",
            "AWS_LAMBDA_FUNCTION_NAME": "service",
            "AWS_LAMBDA_LOG_FORMAT": "JSON",
            "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{self._api.server_port}",
            "LAMBDA_TASK_ROOT": str(folder),
            **variables,
        }
        command = [sys.executable, "-m", "awslambdaric", handler]
        self.process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(json.loads(line))

    def _routes(self) -> type[BaseHTTPRequestHandler]:
        function = self

        class Api(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                """Say nothing."""

            def do_GET(self) -> None:
                if self.path.endswith("/restore/next"):
                    function.restoring.set()
                    function.restored.wait(SECONDS)
                    self._send(b"", {})
                    return
                call, event, deadline = function._next.get()
                arn = "arn:aws:lambda:eu-central-1:1:function:service"
                milliseconds = str(round(deadline * 1000))
                named = {"Aws-Request-Id": call, "Deadline-Ms": milliseconds, "Invoked-Function-Arn": arn}
                headers = {f"Lambda-Runtime-{name}": value for name, value in {**named, "Trace-Id": "Root=1"}.items()}
                self._send(event, {"Content-Type": "application/json", **headers})

            def do_POST(self) -> None:
                content = self.rfile.read(int(self.headers["Content-Length"]))
                if self.path.endswith("/init/error"):
                    function.init_errors.append(content)
                else:
                    function._results.put((self.path.rpartition("/")[2], content))
                self._send(b"{}", {}, 202)

            def _send(self, content: bytes, headers: Mapping[str, str], status: int = 200) -> None:
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(content))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

        return Api

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join()
        self._api.shutdown()
        self._api.server_close()
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()

    def call(self, event: Any, *, seconds: float = 10.0) -> dict[str, Any]:
        """What the function returns for *event*, which has *seconds*; raises FunctionError if it raised."""
        self.calls += 1
        self._next.put((f"call-{self.calls}", json.dumps(event).encode(), time.time() + seconds))
        ends = time.monotonic() + SECONDS
        while self._results.empty():
            assert self.process.poll() is None, (self.lines, self.init_errors)
            assert time.monotonic() < ends
            time.sleep(0.001)
        kind, content = self._results.get()
        if kind == "error":
            raise FunctionError(json.loads(content))
        return cast("dict[str, Any]", json.loads(content))

    def events(self, event: str) -> list[dict[str, Any]]:
        """The lines so far of *event*."""
        return [line for line in self.lines if line.get("event") == event]

    def metrics(self) -> list[dict[str, Any]]:
        """The lines so far that hold metrics."""
        return [line for line in self.lines if "_aws" in line]


def document(response: Mapping[str, Any]) -> Any:
    """The JSON document in *response*."""
    return json.loads(content(response))


def content(response: Mapping[str, Any]) -> bytes:
    """The body of *response*."""
    body: str = response["body"]
    return base64.b64decode(body) if response["isBase64Encoded"] else body.encode()
