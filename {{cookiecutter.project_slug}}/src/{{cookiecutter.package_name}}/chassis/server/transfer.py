"""One request and its response on the wire: the ASGI `receive` and `send` of the application."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import structlog

from ..context import given_request_id
from ..context import request_id as current_request_id
from ..errors import ClientGone, ResponseAborted, ShuttingDown
from ..shapes import problem
from .framing import Framing
from .rejection import Rejected, problem_response, status_line

if TYPE_CHECKING:
    from .protocol import Connection
    from .state import ListenerState, Scope

log = structlog.get_logger("chassis.server.transfer")

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
CLOSE_LINES: Final = b"connection: close\r\n\r\n"
DISCONNECT: Final = {"type": "http.disconnect"}
SMALL_REST_BYTES: Final = 65_536
"""A request body up to this is read to its end for the sake of keeping the connection."""
SMALL_BODY_BYTES: Final = 65_536
"""A response up to this is copied into one write together with its head."""

CRASHED = Rejected(problem.INTERNAL, "")
CUT_OFF = ShuttingDown()


class Transfer:
    """The head of the response is held back until its first body message, as ASGI asks.

    So an application that fails in between still results in problem details. Attributes that the
    connection reads: `keep_alive`, `more_body`, `received_bytes`, `response_complete`, `progressed`.
    """

    __slots__ = (
        "_body",
        "_connection",
        "_framing",
        "_head",
        "_left",
        "_news",
        "_request_id",
        "_wake_up",
        "disconnected",
        "expects_continue",
        "keep_alive",
        "more_body",
        "on_wire",
        "progressed",
        "received_bytes",
        "response_complete",
        "scope",
        "state",
        "task",
    )

    def __init__(self, connection: Connection, scope: Scope, *, keep_alive: bool, expects_continue: bool) -> None:
        self._connection = connection
        self.state: ListenerState = connection.state
        self.scope = scope
        self.keep_alive = keep_alive
        self.expects_continue = expects_continue
        self.task: asyncio.Task[None] | None = None
        self.disconnected = False
        self.more_body = True
        self.received_bytes = 0
        self.response_complete = False
        self.on_wire = False
        self.progressed = False
        self._body: bytes | bytearray = b""
        self._news = False
        self._wake_up: asyncio.Event | None = None
        self._left: asyncio.Event | None = None
        self._framing: Framing | None = None
        """None until the application has begun its response."""
        self._head: bytes | None = None
        self._request_id = ""

    # The connection's side

    def feed(self, body: bytes) -> int:
        """Take a piece of the request body; returns how many bytes wait for the application."""
        self.received_bytes += len(body)
        if self._body:  # a list of single bytes must not cost a copy of the whole for each
            self._body = self._body if isinstance(self._body, bytearray) else bytearray(self._body)
            self._body += body
        else:
            self._body = body
        self.wake()
        return len(self._body)

    def feed_end(self) -> None:
        self.more_body = False
        self.wake()

    def disconnect(self) -> None:
        """Tell the application that the client is gone."""
        self.disconnected = True
        self.half_close()
        self.wake()

    def half_close(self) -> None:
        """Tell work that is of use only to a client who waits that this one sends no more, as one who leaves."""
        if self._left is not None:
            self._left.set()

    def wake(self) -> None:
        self._news = True
        if self._wake_up is not None:
            self._wake_up.set()

    def cut_off(self) -> None:
        """Respond in place of an application that overran the shutdown deadline."""
        if not self.response_complete and not self.disconnected:
            rejected = Rejected(problem.SHUTTING_DOWN, CUT_OFF.detail)
            self._respond(rejected, retry_after_seconds=CUT_OFF.retry_after_seconds)

    # The application's side

    async def run(self, app: Any) -> None:
        """Call the application once; whatever it does, the client gets a response or a visibly broken one."""
        try:
            if not self.disconnected:  # else its body broke off at once, and the server has responded
                await app(self.scope, self.receive, self.send)
        except ResponseAborted:
            self._break_off()
        except ClientGone:
            self.disconnected = True
        except asyncio.CancelledError:
            self.cut_off()
        except BaseException as error:  # noqa: BLE001 - SystemExit of one request must not end the process
            self._crashed(error)
        else:
            if self._left is not None and self._left.is_set() and not self.response_complete:
                self._break_off()
            elif not self.response_complete and not self.disconnected:
                self._crashed(RuntimeError("the application returned without a complete response"))
        finally:
            self.state.tasks.discard(self.task)
            self.task = None

    async def receive(self) -> dict[str, Any]:
        if self.expects_continue and self._framing is None and not self.disconnected:
            self._connection.transport.write(CONTINUE)
        self.expects_continue = False
        if not self.disconnected and not self.response_complete:
            self._connection.flow.resume_reading()
            await self._arrival()
        if self.disconnected or self.response_complete:
            return DISCONNECT.copy()
        body, self._body = self._body, b""
        return {"type": "http.request", "body": bytes(body), "more_body": self.more_body}

    async def left(self) -> None:
        """Return when the client has closed its side: the scope's `client_left`.

        One that only stopped sending cannot be told from one that left until something is written. It gets its response
        from an application that does not ask here; one that does need not respond any more.
        """
        if self._left is None:
            self._left = asyncio.Event()
        if self.disconnected or self._connection.half_closed:
            self._left.set()
        else:
            self._connection.flow.resume_reading()
        await self._left.wait()

    async def _arrival(self) -> None:
        if not self._news:
            if self._wake_up is None:
                self._wake_up = asyncio.Event()
            self._wake_up.clear()
            await self._wake_up.wait()
        self._news = False

    async def send(self, message: Any) -> None:
        flow = self._connection.flow
        if flow.write_paused and not self.disconnected:
            await flow.drain()
        if self.disconnected:
            raise ClientGone("the client closed the connection")
        kind, framing = message["type"], self._framing
        if framing is None and kind == "http.response.start":
            self._start(message["status"], message.get("headers", ()))
        elif framing is not None and not self.response_complete and kind == "http.response.body":
            more_body = message.get("more_body", False)
            self._write(framing.body(message.get("body", b""), more_body=more_body))
            if not more_body:
                self._complete()
        else:
            raise RuntimeError(f"unexpected ASGI message {kind!r}: a response is one start, then bodies")

    def _start(self, status: int, headers: Any) -> None:
        framing = Framing(self.scope["method"], status)
        lines = framing.field_lines(headers, self.scope["http_version"])
        if framing.closes or self.state.draining or (self.more_body and self._much_is_left()):
            self.keep_alive = False
        end = self.state.keep_alive_lines if self.keep_alive else CLOSE_LINES
        self._head = b"".join((status_line(status), self.state.date_line, *lines, end))
        self._framing = framing

    def _much_is_left(self) -> bool:
        """Whether the rest of the request is too long, or too uncertain, to be read only to be thrown away."""
        if self.expects_continue:
            return True
        for name, value in self.scope["headers"]:
            if name == b"content-length":
                return int(value) - self.received_bytes > SMALL_REST_BYTES
        return True

    def _write(self, data: bytes) -> None:
        head = self._head
        self.progressed = self.on_wire = True
        if head is not None:
            self._head = None
            if len(data) > SMALL_BODY_BYTES:
                self._connection.transport.write(head)
            else:
                data = head + data
        if data:
            self._connection.transport.write(data)

    def _complete(self) -> None:
        self.response_complete = True
        self.wake()
        self._connection.on_response_complete()

    # Failures

    def _crashed(self, error: BaseException) -> None:
        """A failure that no middleware caught: logged once, with a response if the client holds no part of one."""
        request_id = self.request_id()
        current_request_id.set(request_id)
        log.error("unhandled exception", method=self.scope["method"], path=self.scope["path"], exc_info=error)
        if self.state.options.on_exception is not None:
            self.state.options.on_exception(error, self.scope)
        if not self.response_complete and not self.disconnected:
            self._respond(CRASHED)

    def _respond(self, rejected: Rejected, *, retry_after_seconds: int | None = None) -> None:
        if self.on_wire:
            self._break_off()
            return
        self._head, self.on_wire, self.keep_alive = None, True, False
        response = problem_response(
            self.state.options.problems,
            rejected,
            self.request_id(),
            self.state.date_line,
            retry_after_seconds=retry_after_seconds,
            bodyless=self.scope["method"] == "HEAD",
        )
        self._connection.transport.write(response)
        self._complete()
        self.disconnected = True  # what the application still says is too late

    def _break_off(self) -> None:
        """End the connection in the middle of the response, so that the client can tell that it is not whole.

        What waits for one that does not read is lost: a close would wait for it as well.
        """
        stuck = self._connection.flow.write_paused
        self.disconnect()
        if self._framing is not None and self._framing.shows_a_break and not stuck:
            self._connection.transport.close()
        else:  # a FIN would look like the proper end
            self._connection.transport.abort()

    def request_id(self) -> str:
        """The id that the application gave the request; before it did, the client's or one of ours."""
        if not self._request_id:
            exchange = self.scope.get("exchange")
            given = given_request_id(self.scope["headers"]) if exchange is None else exchange.request_id
            self._request_id = given or self.state.request_ids.next()
        return self._request_id
