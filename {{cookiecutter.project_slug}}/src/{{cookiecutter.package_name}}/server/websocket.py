"""One websocket connection: uvicorn's protocol with a goodbye that the client is sure to see."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import structlog
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.server import ServerProtocol

from ..models.headers import SECURITY_HEADERS
from ..models.problem import CONTENT_TYPE, problem_body, type_for_status

if TYPE_CHECKING:
    from uvicorn.config import Config
    from websockets.http11 import Response

    from .state import ListenerState

SERVICE_RESTART: Final = 1012
INTERNAL_ERROR: Final = 1011
CLOSE_REPLY_SECONDS: Final = 2.0
"""For the peer's own Close frame; the TCP connection ends after it, and so without a reset."""

log = structlog.get_logger(__name__)


class _Handshake(ServerProtocol):
    """Refuses with a problem document, as the rest of the service does."""

    next_request_id = staticmethod(lambda: "")

    def reject(self, status: int, text: str) -> Response:
        request_id = self.next_request_id()
        kind = type_for_status(status)
        response = super().reject(status, problem_body(kind, instance=request_id, detail=text, status=status).decode())
        del response.headers["Content-Type"]
        response.headers["Content-Type"] = CONTENT_TYPE.decode()
        response.headers["X-Request-ID"] = request_id
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
        self.conn = _Handshake(max_size=config.ws_max_size, logger=self.logger)
        self.conn.next_request_id = server_state.request_ids.next
        self.app = self._guarded(self.app)
        self.failed = False

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
