"""One HTTP/1.1 connection: whose turn it is, and how it ends."""

from __future__ import annotations

from collections import deque
from contextvars import Context
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import structlog

from ..context import given_request_id
from ..shapes import problem
from .parsing import RequestReader
from .rejection import Rejected, cors_lines, log_rejection, problem_response
from .transfer import Transfer

if TYPE_CHECKING:
    from asyncio import Transport

    from uvicorn.config import Config

    from .state import ListenerState, Scope

log = structlog.get_logger("chassis.server.protocol")

LINGER_BYTES: Final = 16 * 1024 * 1024
"""What a client may still send after its response, so that it gets to read that instead of a reset."""
MOST_PIPELINED: Final = 32


class Connection(RequestReader):
    """`active` is the request being served; pipelined ones wait in `queue`, so that responses keep their order."""

    def __init__(self, config: Config, server_state: ListenerState, app_state: dict[str, Any]) -> None:
        super().__init__(config, server_state, app_state)
        self.active: Transfer | None = None
        self.queue: deque[Transfer] = deque()
        self.used = False
        """Has had a response: silence from now on is keep-alive."""
        self.half_closed = False
        self.lingering = False
        self.lingered_bytes = 0
        self.rejected: Rejected | None = None
        """To be sent after the responses before it."""
        self.admission = server_state.admission

    @property
    def idle(self) -> bool:
        """Whether no request, nor a part of one, is here."""
        return self.active is None and self.head_bytes == 0 and not self.lingering

    @property
    def busy(self) -> bool:
        """Whether a request is here, or a response is not wholly sent."""
        return self.active is not None or self.head_bytes > 0 or self.transport.get_write_buffer_size() > 0

    # The client's side

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.admission.admit(self)

    def handle_websocket_upgrade(self) -> None:
        self.admission.set_busy(self)
        super().handle_websocket_upgrade()

    def data_received(self, data: bytes) -> None:
        if self.lingering:
            self.lingered_bytes += len(data)
            if self.lingered_bytes > LINGER_BYTES:
                self.transport.close()
        elif self.rejected is None:
            super().data_received(data)

    def eof_received(self) -> bool:  # type: ignore[override]
        """Keep the connection while a request waits for its response: the client may only have stopped sending."""
        if self.active is None or self.feeding is not None or self.lingering:
            return False
        self.half_closed = True
        self.active.half_close()
        return True

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio calls it
        self.connections.discard(self)
        self.admission.set_busy(self)
        self.admission.release(self)
        for transfer in (self.active, *self.queue):
            if transfer is not None:
                transfer.disconnect()
        self.active = self.feeding = None
        self.queue.clear()
        self.flow.resume_writing()
        self.parser = None  # type: ignore[assignment]

    def resume_writing(self) -> None:
        self.deadlines.resumed_writing()
        super().resume_writing()

    # Turns

    def begin(self, scope: Scope, *, keep_alive: bool) -> Transfer:
        transfer = Transfer(self, scope, keep_alive=keep_alive, expects_continue=self.expect_100_continue)
        if self.active is None:
            self.admission.set_busy(self)
            self._start(transfer)
            return transfer
        if len(self.queue) >= MOST_PIPELINED:
            detail = f"At most {MOST_PIPELINED} requests may wait on one connection."
            raise Rejected(problem.CLIENT_ERROR, detail, status=HTTPStatus.TOO_MANY_REQUESTS)
        self.flow.pause_reading()
        self.queue.append(transfer)
        return transfer

    def _check_upgrade(self, method: str) -> None:
        super()._check_upgrade(method)
        if self.upgrading and self.active is not None:
            raise Rejected(problem.BAD_REQUEST, "A websocket can begin only after the responses before it.")

    def _start(self, transfer: Transfer) -> None:
        self.active = transfer
        # A context of its own: a pipelined request begins inside the end of the one before it.
        task = transfer.task = self.loop.create_task(transfer.run(self.app), context=Context())
        transfer.scope["task"] = task
        transfer.scope["client_left"] = transfer.left
        self.tasks.add(task)

    def on_response_complete(self) -> None:
        """The active request has its whole response: the next one's turn, or the end."""
        transfer, self.active = self.active, None
        self.state.total_requests += 1
        self.used = True
        self.deadlines.restart()
        if transfer is None or self.transport.is_closing():
            return
        if self.half_closed and not self.queue:
            self.transport.close()
        elif not transfer.keep_alive:
            self.finish()
        else:
            self.flow.resume_reading()
            if self.queue:
                self._start(self.queue.popleft())
            elif self.rejected is not None:
                self._send_rejection(self.rejected)
            else:
                self.admission.set_idle(self)

    def reject(self, rejected: Rejected) -> None:
        """Respond in place of the application, in turn; a request whose body breaks off has the turn already."""
        broken, self.feeding = self.feeding, None
        if broken is not None and broken is not self.active:
            self.queue.remove(broken)
        if self.active is None:
            self._send_rejection(rejected)
        elif broken is self.active:
            self._reject_active(broken, rejected)
        else:
            self.rejected = rejected

    def _reject_active(self, transfer: Transfer, rejected: Rejected) -> None:
        """Take the request from the application, which records it itself if it observes it, as rejected."""
        transfer.disconnect()
        self.active = None
        exchange = transfer.scope.get("exchange")
        if exchange is not None:
            exchange.outcome = rejected.status
        if transfer.on_wire:
            self.transport.close()
        elif exchange is not None:
            self._write_rejection(rejected, exchange.request_id, transfer.scope["headers"])
        else:
            self._send_rejection(rejected)

    def _send_rejection(self, rejected: Rejected) -> None:
        method = self.method
        request_id = given_request_id(self.headers) or self.state.request_ids.next()
        log_rejection(rejected, request_id=request_id, method=method, client=self.client)
        if self.options.on_rejection is not None:
            self.options.on_rejection(method, rejected.status)
        self._write_rejection(rejected, request_id, self.headers)

    def _write_rejection(self, rejected: Rejected, request_id: str, headers: list[tuple[bytes, bytes]]) -> None:
        self.head_bytes = 0
        bodyless = self.method == "HEAD"
        self.transport.write(
            problem_response(
                self.options.problems,
                rejected,
                request_id,
                self.state.date_line,
                bodyless=bodyless,
                more_lines=cors_lines(self.options.cors_origins, headers),
            )
        )
        self.finish()

    # Ends

    def finish(self) -> None:
        """Say FIN after what is written, and discard what still comes, so that no reset destroys the last response."""
        if self.lingering or self.transport.is_closing():
            return
        self.lingering = True
        self.admission.set_busy(self)
        self.deadlines.restart()
        self.flow.resume_reading()
        if self.half_closed:
            self.transport.close()
        else:
            self.transport.write_eof()

    def give_up(self, reason: str) -> None:
        """Drop a client that holds the connection and makes no progress."""
        log.info("connection given up", reason=reason, client=self.client[0] if self.client else "")
        self.transport.abort()

    def tick(self, elapsed_seconds: float) -> None:
        self.deadlines.tick(self, elapsed_seconds)
