"""One websocket connection: uvicorn's protocol with a goodbye that the client is sure to see."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import structlog
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.server import ServerProtocol

from ..context import given_request_id
from ..context import request_id as current_request_id
from ..models.headers import SECURITY_HEADERS
from ..models.problem import CONTENT_TYPE, problem_body, type_for_status
from .refusal import OTHER_METHOD, Refused, log_refusal

if TYPE_CHECKING:
    from uvicorn.config import Config
    from websockets.http11 import Request, Response

    from .state import ListenerState

SERVICE_RESTART: Final = 1012
INTERNAL_ERROR: Final = 1011
CLOSE_REPLY_SECONDS: Final = 2.0
"""For the peer's own Close frame; the TCP connection ends after it, and so without a reset."""

log = structlog.get_logger(__name__)


class _Handshake(ServerProtocol):
    """Refuses with a problem document, as the rest of the service does, and tells *on_refusal*."""

    def __init__(self, on_refusal: Callable[[Refused], None], request_id: str, **options: Any) -> None:
        super().__init__(**options)
        self.request_id = request_id
        self._on_refusal = on_refusal

    def reject(self, status: int, text: str) -> Response:
        refused = Refused(type_for_status(status), text.strip(), status=int(status))
        self._on_refusal(refused)
        body = problem_body(refused.kind, instance=self.request_id, detail=refused.detail, status=refused.status)
        response = super().reject(status, body.decode())
        del response.headers["Content-Type"]
        response.headers["Content-Type"] = CONTENT_TYPE.decode()
        response.headers["X-Request-ID"] = self.request_id
        for name, value in SECURITY_HEADERS:
            response.headers[name.decode()] = value.decode()
        return response


class WebSocketConnection(WebSocketsSansIOProtocol):
    """A handler that ends by itself when the process stops is never interrupted; one that does not gets a 1012."""

    close_timeout: float

    def __init__(self, config: Config, server_state: ListenerState, app_state: dict[str, Any]) -> None:
        super().__init__(config, server_state, app_state)
        self.state = server_state
        self.close_timeout = CLOSE_REPLY_SECONDS
        request_id = server_state.request_ids.next()
        self.conn: _Handshake = _Handshake(self._record, request_id, max_size=config.ws_max_size, logger=self.logger)
        self.app = self._guarded(self.app)
        self.method = OTHER_METHOD
        self.failed = False

    def handle_connect(self, event: Request) -> None:
        self.method = event.method
        fields = [(name.encode(), value.encode("latin-1")) for name, value in event.headers.raw_items()]
        self.conn.request_id = given_request_id(fields) or self.conn.request_id
        super().handle_connect(event)

    def _record(self, refused: Refused) -> None:
        log_refusal(refused, request_id=self.conn.request_id, method=self.method, client=self.client)
        if self.state.options.on_refusal is not None:
            self.state.options.on_refusal(self.method, refused.status)

    def shutdown(self) -> None:
        """Send Close 1012, tell the handler, and leave it to the peer's reply to end the connection."""
        if not self.handshake_complete:
            super().shutdown()
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
        """*app*, whose failure is reported once and ends the websocket with 1011."""

        async def guarded(scope: Any, receive: Any, send: Any) -> None:
            current_request_id.set(self.conn.request_id)
            try:
                await app(scope, receive, send)
            except (ClientDisconnected, asyncio.CancelledError):
                pass
            except Exception as error:  # noqa: BLE001 - the last one that can catch it
                self._crashed(error, scope)
            if self.handshake_complete and not self.close_sent:
                self._say_close(INTERNAL_ERROR if self.failed else 1000)

        return guarded

    def _crashed(self, error: Exception, scope: Any) -> None:
        self.failed = True
        log.error("unhandled exception", method="WEBSOCKET", path=scope["path"], exc_info=error)
        if self.state.options.on_exception is not None:
            self.state.options.on_exception(error, scope)
