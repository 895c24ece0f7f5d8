"""The function that Lambda calls: the application is started once in each process, and stays between two calls.

Lambda calls it with one event at a time and lets the process stand still in between, for milliseconds or for hours, or
goes on from a snapshot of it (SnapStart). So connections are renewed after more than GAP_SECONDS by the wall clock.
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING, Any, TypeVar

import structlog
from snapshot_restore_py import (  # type: ignore[import-untyped]
    register_after_restore,
    register_before_snapshot,
)

from ..asgi import asgi
from ..context import RequestIds, given_request_id
from ..errors import ResponseAborted
from ..http.rejections import Rejection
from ..logs.setup import process_log
from ..metrics import route_of
from ..shapes import problem
from ..shapes.headers import completed
from ..shapes.problem import ProblemDetails
from .embedded_metrics import EmbeddedMetrics
from .events import EventRejected, HttpEvent, MalformedEvent
from .invocation import aws_request_id, on_lambda, seconds_left
from .lifespan import Lifespan

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from starlette.types import Message

    from ..service import Core, Service

T = TypeVar("T")

GAP_SECONDS = 10.0
RENEW_SECONDS = 1.0
FLUSH_SECONDS = 2.0
MAX_RESPONSE_BYTES = 6_291_456
"""What Lambda takes from a function; a load balancer takes a megabyte."""

_log = structlog.get_logger("chassis.aws_lambda")


class LambdaHandler:
    """*service* as a handler of Lambda's; *base_path* is what a domain of one's own puts before each path.

    On Lambda the service starts when this is made, and elsewhere with the first call. A start that fails is logged,
    gives that call 503, and is tried again with the next one.
    """

    def __init__(self, service: Service, *, base_path: str = "") -> None:
        self._base_path = base_path
        self._problems = ProblemDetails(service.name)
        self._core: Core | None = None
        self._metrics: EmbeddedMetrics | None = None
        self._lifespan = Lifespan(asgi(on_lambda(service, self._keep)))
        self._runner = asyncio.Runner()
        self._left_at = time.time()
        self._called = False
        register_before_snapshot(self._renew)
        register_after_restore(self._renew)
        if "AWS_LAMBDA_FUNCTION_NAME" in os.environ:  # noqa: TID251 - Lambda says where it is, and configures nothing
            self._run(self._lifespan.start())

    def __call__(self, event: Any, context: Any) -> dict[str, Any]:
        """Respond to one *event*; raises EventRejected for one that is no HTTP request, so that Lambda counts it."""
        return self._run(self._invoked(event, context))

    def close(self) -> None:
        """End the service, as its server would."""
        self._run(self._lifespan.stop())
        self._runner.close()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        """As `Runner.run`, which would also handle SIGINT, at 30 us a call."""
        return self._runner.get_loop().run_until_complete(work)

    def _keep(self, core: Core) -> None:
        """What the service is made of, each time that it starts."""
        self._core = core
        environment = core.settings.server.app_env
        self._metrics = EmbeddedMetrics(core.service.name, {"service": core.service.name, "environment": environment})

    async def _invoked(self, event: Any, context: Any) -> dict[str, Any]:
        began, is_first, self._called = time.perf_counter(), not self._called, True
        aws_request_id.set(str(getattr(context, "aws_request_id", "")))
        try:
            is_started = await self._lifespan.start(seconds_left(context))
            try:
                request = HttpEvent(event, context, base_path=self._base_path)
            except EventRejected as error:
                _log.error("event rejected", reason=str(error))
                if not isinstance(error, MalformedEvent):
                    raise
                return self._malformed(event)
            if not is_started:
                return self._problem(request, problem.UNAVAILABLE, "The service could not start. Try again.")
            if time.time() - self._left_at > GAP_SECONDS:
                await self._renewed()
            response = await self._respond(request)
            self._measure(request, response["statusCode"], time.perf_counter() - began, is_first=is_first)
            return response
        finally:
            self._left_at = time.time()
            if (log := process_log()) is not None:
                log.flush(FLUSH_SECONDS)

    async def _respond(self, request: HttpEvent) -> dict[str, Any]:
        exchange = _Exchange(request.body)
        try:
            await self._lifespan.app(request.scope, exchange.receive, exchange.send)
        except ResponseAborted:
            """It is logged."""
        except Exception as error:  # noqa: BLE001 - of a layer outside of the one that responds to errors
            _log.error("unhandled exception", path=request.scope["path"], exc_info=error)
        if not exchange.complete:
            return self._problem(request, problem.INTERNAL)
        if len(exchange.body) > MAX_RESPONSE_BYTES:
            hint = "page it, or let the client fetch it from elsewhere"
            _log.error("response too large", size=len(exchange.body), limit=MAX_RESPONSE_BYTES, hint=hint)
            return self._problem(request, problem.INTERNAL)
        return request.response(exchange.status, exchange.headers, bytes(exchange.body))

    def _problem(self, request: HttpEvent, kind: problem.ProblemType, detail: str = "") -> dict[str, Any]:
        instance = given_request_id(request.scope["headers"]) or aws_request_id.get()
        return request.response(*self._written(kind, detail, instance))

    def _malformed(self, event: dict[str, Any]) -> dict[str, Any]:
        """The response to an event of which only its kind is known."""
        status, headers, body = self._written(problem.BAD_REQUEST, "", aws_request_id.get())
        single = {name.decode(): value.decode() for name, value in headers}
        multiple = {name: [value] for name, value in single.items()}
        said = {"multiValueHeaders": multiple} if "multiValueHeaders" in event else {"headers": single}
        return {"statusCode": status, "body": body.decode(), "isBase64Encoded": False, **said}

    def _written(
        self, kind: problem.ProblemType, detail: str, instance: str
    ) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        status, headers, body = Rejection(kind, detail=detail).written(self._problems, instance)
        return status, completed(status, headers, instance.encode(), "https", None), body

    def _measure(self, request: HttpEvent, status: int, seconds: float, *, is_first: bool) -> None:
        log = process_log()
        if log is None or self._metrics is None or self._core is None:
            return
        route = route_of(request.scope)
        log.write(self._metrics.invocation(route=route, status=status, seconds=seconds, cold_start=is_first))
        for line in self._metrics.counters(self._core.metrics):
            log.write(line)

    def _renew(self) -> None:
        """Before and after a snapshot."""
        self._run(self._renewed())

    async def _renewed(self) -> None:
        """Let go of what did not live through a pause, or is the same in another process."""
        RequestIds.renew_all()
        if self._core is None:
            return
        for renew in (self._core.database.renew, self._core.cache.renew, *self._core.renewals):
            try:
                async with asyncio.timeout(RENEW_SECONDS):
                    await renew()
            except Exception as error:  # noqa: BLE001 - what is not renewed fails, or is opened again, when it is used
                _log.warning("connections not renewed", reason=f"{type(error).__name__}: {error}")


class _Exchange:
    """What a server would be to the application, for one request."""

    def __init__(self, body: bytes) -> None:
        self._request: bytes | None = body
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = bytearray()
        self.complete = False

    async def receive(self) -> Message:
        if self._request is None:
            await asyncio.Event().wait()  # the client stays until the response is whole
        body, self._request = self._request, None
        return {"type": "http.request", "body": body or b"", "more_body": False}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], list(message.get("headers", ()))
        else:
            self.body += message.get("body", b"")
            self.complete = not message.get("more_body", False)
