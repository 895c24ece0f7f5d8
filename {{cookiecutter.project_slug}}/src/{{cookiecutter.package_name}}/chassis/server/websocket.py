"""One websocket connection: uvicorn's protocol with a goodbye that the client is sure to see."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import structlog
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.server import ServerProtocol

from ..context import given_request_id
from ..context import request_id as current_request_id
from ..errors import ServiceError, ShuttingDown
from ..shapes import problem
from ..shapes.headers import SECURITY_HEADERS
from .rejection import OTHER_METHOD, Rejected, log_rejection

if TYPE_CHECKING:
    from uvicorn.config import Config
    from websockets.http11 import Request, Response

    from ..shapes.problem import ProblemDetails
    from .state import ListenerState

SERVICE_RESTART: Final = 1012
INTERNAL_ERROR: Final = 1011
CRASHED: Final = Rejected(problem.INTERNAL, "")
CUT_OFF: Final = Rejected(problem.SHUTTING_DOWN, ShuttingDown().detail)
CLOSE_REPLY_SECONDS: Final = 2.0
"""For the peer's own Close frame; the TCP connection ends after it, and so without a reset."""

log = structlog.get_logger("chassis.server.websocket")


class _Handshake(ServerProtocol):
    """Rejects with problem details, as the rest of the service does; *on_rejection* is told of every rejection."""

    def __init__(
        self, problems: ProblemDetails, on_rejection: Callable[[Rejected], None], request_id: str, **options: Any
    ) -> None:
        super().__init__(**options)
        self._problems = problems
        self.request_id = request_id
        self._on_rejection = on_rejection
        self._rejected: Rejected | None = None

    def reject(self, status: int, text: str) -> Response:
        return self.reject_as(Rejected(problem.type_for_status(status), text.strip(), status=int(status)))

    def reject_as(self, rejected: Rejected) -> Response:
        self._rejected = rejected
        kind, detail = rejected.kind, rejected.detail
        body = self._problems.body(kind, instance=self.request_id, detail=detail, status=rejected.status)
        response = super().reject(rejected.status, body.decode())
        del response.headers["Content-Type"]
        response.headers["Content-Type"] = problem.CONTENT_TYPE.decode()
        response.headers["X-Request-ID"] = self.request_id
        for name, value in SECURITY_HEADERS:
            response.headers[name.decode()] = value.decode()
        return response

    def send_response(self, response: Response) -> None:
        status = response.status_code
        if status != HTTPStatus.SWITCHING_PROTOCOLS:  # one that is not ours is the application's own
            self._on_rejection(self._rejected or Rejected(problem.type_for_status(status), "", status=status))
        super().send_response(response)


class WebSocketConnection(WebSocketsSansIOProtocol):
    """A handler that ends by itself when the process stops is never interrupted; one that does not gets a 1012."""

    close_timeout: float

    def __init__(self, config: Config, server_state: ListenerState, app_state: dict[str, Any]) -> None:
        super().__init__(config, server_state, app_state)
        self.state = server_state
        self.close_timeout = CLOSE_REPLY_SECONDS
        request_id = server_state.request_ids.next()
        self.conn: _Handshake = _Handshake(
            server_state.options.problems,
            self._record,
            request_id,
            max_size=config.ws_max_size,
            logger=self.logger,
        )
        self.app = self._guarded(self.app)
        self.method = OTHER_METHOD
        self.failed = False

    def handle_connect(self, event: Request) -> None:
        self.method = event.method
        fields = [(name.encode(), value.encode("latin-1")) for name, value in event.headers.raw_items()]
        self.conn.request_id = given_request_id(fields) or self.conn.request_id
        super().handle_connect(event)

    def _record(self, rejected: Rejected) -> None:
        if not self.failed:  # a crash has its line
            log_rejection(rejected, request_id=self.conn.request_id, method=self.method, client=self.client)
        if self.state.options.on_rejection is not None:
            self.state.options.on_rejection(self.method, rejected.status)

    @property
    def _answered(self) -> bool:
        return self.handshake_complete or self.close_sent

    def _reject(self, rejected: Rejected) -> None:
        """Answer a handshake in place of the handler, if that has not answered it."""
        if self._answered:
            return
        self.handshake_complete = self.close_sent = True
        self.conn.send_response(self.conn.reject_as(rejected))
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.transport.close()

    def shutdown(self) -> None:
        """Send Close 1012, tell the handler, and leave it to the peer's reply to end the connection."""
        if not self.handshake_complete:
            self._reject(CUT_OFF)
            return
        self.queue.put_nowait({"type": "websocket.disconnect", "code": SERVICE_RESTART})
        self._say_close(SERVICE_RESTART)

    def _say_close(self, code: int) -> None:
        self.stop_keepalive()
        if self.close_sent or self.disconnected:
            return
        self.conn.send_close(code)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
        self.close_timer = self.loop.call_later(self.close_timeout, self.transport.close)

    def tick(self, _elapsed_seconds: float) -> None:
        """Do nothing: uvicorn's ping finds a peer that is gone."""

    def _guarded(self, app: Any) -> Any:
        """*app*, whose failure is reported once, and rejects the handshake or ends the websocket with 1011."""

        async def guarded(scope: Any, receive: Any, send: Any) -> None:
            current_request_id.set(self.conn.request_id)
            try:
                await app(scope, receive, send)
            except (ClientDisconnected, asyncio.CancelledError):
                self._reject(CUT_OFF)
            except Exception as error:  # noqa: BLE001 - the last one that can catch it
                self._failed_with(error, scope)
            else:
                if not self._answered:
                    self._crashed(RuntimeError("the application returned without an answer to the handshake"), scope)
            if self.handshake_complete and not self.close_sent:
                self._say_close(INTERNAL_ERROR if self.failed else 1000)
            self.handshake_complete = True  # else uvicorn reports an answer of the application's own as a failure

        return guarded

    def _failed_with(self, error: Exception, scope: Any) -> None:
        if isinstance(error, ServiceError) and not self._answered:
            self._reject(Rejected(error.problem, error.detail))
        else:
            self._crashed(error, scope)

    def _crashed(self, error: Exception, scope: Any) -> None:
        self.failed = True
        log.error("unhandled exception", method="WEBSOCKET", path=scope["path"], exc_info=error)
        if self.state.options.on_exception is not None:
            self.state.options.on_exception(error, scope)
        self._reject(CRASHED)
