"""One websocket connection: uvicorn's protocol with a Close frame that the client is sure to see."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import structlog
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.server import ServerProtocol

from ..context import given_request_id
from ..context import request_id as current_request_id
from ..errors import ShuttingDown
from ..shapes import problem
from ..shapes.headers import SECURITY_HEADERS
from ..shapes.websockets import ABNORMAL_CLOSURE, INTERNAL_ERROR, NORMAL_CLOSURE, SERVICE_RESTART
from .deadlines import WriteClock
from .rejection import OTHER_METHOD, Rejected, log_rejection

if TYPE_CHECKING:
    from uvicorn.config import Config
    from websockets.frames import Frame
    from websockets.http11 import Request, Response

    from ..context import Exchange
    from .state import ListenerState

CRASHED: Final = Rejected(problem.INTERNAL, "")
CUT_OFF: Final = Rejected(problem.SHUTTING_DOWN, ShuttingDown().detail)
CLOSE_REPLY_SECONDS: Final = 2.0
"""For the peer's own Close frame; the TCP connection ends after it, and so without a reset."""

log = structlog.get_logger("chassis.server.websocket")


class _Handshake(ServerProtocol):
    """Rejects with problem details, as the rest of the service does, and tells *connection* of every rejection."""

    def __init__(self, connection: WebSocketConnection, **options: Any) -> None:
        super().__init__(**options)
        self._connection = connection
        self._rejected: Rejected | None = None

    def reject(self, status: int, text: str) -> Response:
        return self.reject_as(Rejected(problem.type_for_status(status), text.strip(), status=int(status)))

    def reject_as(self, rejected: Rejected) -> Response:
        self._rejected = rejected
        response = super().reject(rejected.status, self._connection.document(rejected))
        del response.headers["Content-Type"]
        response.headers["Content-Type"] = problem.CONTENT_TYPE.decode()
        response.headers["X-Request-ID"] = self._connection.request_id
        for name, value in SECURITY_HEADERS:
            response.headers[name.decode()] = value.decode()
        return response

    def send_response(self, response: Response) -> None:
        status = response.status_code
        if status != HTTPStatus.SWITCHING_PROTOCOLS:  # one that is not ours is the application's own
            self._connection.record(self._rejected or Rejected(problem.type_for_status(status), "", status=status))
        super().send_response(response)


class WebSocketConnection(WebSocketsSansIOProtocol):
    """A handler that ends by itself when the process stops is never interrupted; one that does not gets a 1012."""

    close_timeout: float

    def __init__(self, config: Config, server_state: ListenerState, app_state: dict[str, Any]) -> None:
        super().__init__(config, server_state, app_state)
        self.state = server_state
        self.close_timeout = CLOSE_REPLY_SECONDS
        self.conn: _Handshake = _Handshake(self, max_size=config.ws_max_size, logger=self.logger)
        self.method = OTHER_METHOD
        self._request_id = ""
        self._writing = WriteClock(server_state.options.write_timeout_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.state.admission.release(self)

    # The handshake

    def handle_connect(self, event: Request) -> None:
        self.method = event.method
        fields = [(name.encode(), value.encode("latin-1")) for name, value in event.headers.raw_items()]
        self._request_id = given_request_id(fields) or self.state.request_ids.next()
        super().handle_connect(event)

    def document(self, rejected: Rejected) -> str:
        """The problem details of a rejection of ours."""
        body = self.state.options.problems.body(
            rejected.kind, instance=self.request_id, detail=rejected.detail, status=rejected.status
        )
        return body.decode()

    def record(self, rejected: Rejected) -> None:
        """Log and count a rejection, unless the application observes the handshake and does so itself."""
        exchange = self._exchange
        if exchange is not None:
            exchange.outcome, exchange.complete = rejected.status, True
            return
        if rejected is not CRASHED:  # a crash has its line
            log_rejection(rejected, request_id=self.request_id, method=self.method, client=self.client)
        if self.state.options.on_rejection is not None:
            self.state.options.on_rejection(self.method, rejected.status)

    @property
    def request_id(self) -> str:
        """The id that the application gave the handshake; before it did, the client's or one of ours."""
        return self._exchange.request_id if self._exchange is not None else self._request_id

    @property
    def _exchange(self) -> Exchange | None:
        scope: dict[str, Any] = getattr(self, "scope", {})  # there is none before the handshake is found to be one
        return scope.get("exchange")

    @property
    def _responded(self) -> bool:
        return self.handshake_complete or self.close_sent

    def _reject(self, rejected: Rejected) -> None:
        """Respond to a handshake in place of the application, if that has not done it."""
        if self._responded:
            return
        self.handshake_complete = self.close_sent = True
        self.queue.put_nowait({"type": "websocket.disconnect", "code": ABNORMAL_CLOSURE})
        self.conn.send_response(self.conn.reject_as(rejected))
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.transport.close()

    # The application

    async def run_asgi(self) -> None:
        """Call the application; its failure is reported once, and rejects the handshake or closes with 1011."""
        current_request_id.set(self.request_id)
        code = NORMAL_CLOSURE
        try:
            await self.app(self.scope, self.receive, self.send)
            if not self._responded:
                raise RuntimeError("the application returned without response to the handshake")  # noqa: TRY301 - as its own
        except (ClientDisconnected, asyncio.CancelledError):
            self._reject(CUT_OFF)
        except Exception as error:  # noqa: BLE001 - the last one that can catch it
            code = INTERNAL_ERROR
            self._crashed(error)
        self._say_close(code)
        if self.close_timer is None:
            self.transport.close()

    async def send(self, message: Any) -> None:
        await self.writable.wait()
        if self.close_sent:  # by us or by the application: what it still says is too late
            raise ClientDisconnected
        await super().send(message)

    def _crashed(self, error: Exception) -> None:
        log.error("unhandled exception", method="WEBSOCKET", path=self.scope["path"], exc_info=error)
        if self.state.options.on_exception is not None:
            self.state.options.on_exception(error, self.scope)  # type: ignore[arg-type]
        self._reject(CRASHED)

    # The end

    def shutdown(self) -> None:
        """Send Close 1012, tell the handler, and leave it to the peer's reply to end the connection."""
        if not self.handshake_complete:
            self._reject(CUT_OFF)
            return
        self.queue.put_nowait({"type": "websocket.disconnect", "code": SERVICE_RESTART})
        self._say_close(SERVICE_RESTART)

    def handle_close(self, event: Frame) -> None:
        super().handle_close(event)
        self.writable.set()

    def _say_close(self, code: int) -> None:
        self.stop_keepalive()
        self.writable.set()  # a handler that waits for a client that does not read waits in vain from now on
        if self.close_sent or self.transport.is_closing():  # the latter as well after a Close of the peer's
            return
        self.conn.send_close(code)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
        self.close_timer = self.loop.call_later(self.close_timeout, self.transport.close)

    def resume_writing(self) -> None:
        self._writing.restart()
        super().resume_writing()

    def tick(self, elapsed_seconds: float) -> None:
        """Drop a client that does not read; one that is gone is found by uvicorn's ping."""
        if self._writing.is_over(self.transport.get_write_buffer_size(), elapsed_seconds):
            client = self.client[0] if self.client else ""
            log.info("connection given up", reason="the client does not read its messages", client=client)
            self.transport.abort()
