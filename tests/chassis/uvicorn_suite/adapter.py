"""A pytest plugin that puts our protocols in the place of uvicorn's, for uvicorn's own tests of them.

The tests come from uvicorn's source distribution and are run from its folder. They build a protocol with uvicorn's
configuration and state, on a transport and a loop of their own; here those are given what our server needs of them.
"""

from __future__ import annotations

from typing import Any, Final
from weakref import WeakKeyDictionary

import pytest
from uvicorn.config import Config
from uvicorn.protocols.http import httptools_impl
from uvicorn.protocols.websockets import websockets_sansio_impl
from uvicorn.server import ServerState

from acme_service.chassis.server.deadlines import TICK_SECONDS
from acme_service.chassis.server.options import ServerOptions
from acme_service.chassis.server.protocol import Connection
from acme_service.chassis.server.state import ListenerState
from acme_service.chassis.server.websocket import WebSocketConnection
from acme_service.chassis.shapes.problem import ProblemDetails

from .differences import DIFFERENCES

OTHER_IMPLEMENTATIONS: Final = ("h11", "zttp", "wsproto")
_states: WeakKeyDictionary[ServerState, ListenerState] = WeakKeyDictionary()


def _listener_state(given: ServerState, config: Config) -> ListenerState:
    """The state of ours that stands for *given*, whose connections and tasks uvicorn's server looks after."""
    if isinstance(given, ListenerState):
        return given
    if given not in _states:
        options = ServerOptions(
            problems=ProblemDetails("test"),
            host="127.0.0.1",
            port=0,
            keep_alive_seconds=config.timeout_keep_alive,
            websocket_max_bytes=config.ws_max_size,
        )
        state = _states[given] = ListenerState(options)
        state.connections, state.tasks = given.connections, given.tasks
    return _states[given]


class AdaptedConnection(Connection):
    """Our HTTP protocol, with the clock and the end that our listener gives it otherwise."""

    def __init__(self, config: Config, server_state: ServerState, app_state: dict[str, Any], _loop: Any = None) -> None:
        super().__init__(config, _listener_state(server_state, config), app_state)
        if _loop is None:
            self.loop.call_later(TICK_SECONDS, self._tick)
        else:
            self.loop = _loop
            _loop.protocol = self

    def _tick(self) -> None:
        if self in self.connections:
            self.tick(TICK_SECONDS)
            self.loop.call_later(TICK_SECONDS, self._tick)

    def shutdown(self) -> None:
        """Do what the listener does at its end, which uvicorn's server leaves to the protocol."""
        self.state.draining = True
        if self.idle:
            self.finish()


class AdaptedWebSocket(WebSocketConnection):
    """Our websocket protocol."""

    def __init__(self, config: Config, server_state: ServerState, app_state: dict[str, Any], _loop: Any = None) -> None:
        super().__init__(config, _listener_state(server_state, config), app_state)


AdaptedWebSocket.__name__ = "WebSocketsSansIOProtocol"  # by which some tests know what they have


def _complete(module: Any) -> None:
    """Give the transport and the loop of *module* what uvicorn's protocols do not need of them."""
    if hasattr(module, "MockLoop"):
        _complete_transport(module.MockTransport)
        _complete_loop(module.MockLoop)
    elif not hasattr(module, "_WSProtocol"):  # two tests name it whether it is installed or not
        module._WSProtocol = type("NotInstalled", (), {})  # noqa: SLF001 - so it is called there


def _complete_transport(transport: Any) -> None:
    def end(self: Any) -> None:
        self.closed = True

    transport.write_eof = transport.abort = end
    transport.get_write_buffer_size = lambda _self: 0


def _complete_loop(loop: Any) -> None:
    create_task = loop.create_task

    def run_later(self: Any, with_delay: float) -> None:
        """Let so many seconds pass for the connection."""
        for _ in range(int(with_delay / TICK_SECONDS) + 4):
            if not self.protocol.transport.is_closing():
                self.protocol.tick(TICK_SECONDS)

    loop.create_task = lambda self, coroutine, **_: create_task(self, coroutine)
    loop.run_later = run_later


def pytest_configure() -> None:
    """Before the tests are imported: they find our protocols under the names of uvicorn's."""
    httptools_impl.HttpToolsProtocol = AdaptedConnection  # type: ignore[misc]
    websockets_sansio_impl.WebSocketsSansIOProtocol = AdaptedWebSocket  # type: ignore[misc]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is not replaced, and expect the failures that are listed, of which each must be one."""
    kept = [item for item in items if not _is_of_another(item)]
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = kept
    for module in {getattr(item, "module", None) for item in kept}:
        _complete(module)
    stale = set(DIFFERENCES)
    for item in kept:
        for name in (item.name, item.name.partition("[")[0]):
            if name in DIFFERENCES:
                stale.discard(name)
                item.add_marker(pytest.mark.xfail(reason=DIFFERENCES[name], strict=True))
                break
    if stale:
        raise pytest.UsageError(f"no test of uvicorn's is called {', '.join(sorted(stale))}")


def _is_of_another(item: pytest.Item) -> bool:
    parameters = item.name.partition("[")[2].rstrip("]").split("-")
    return bool(set(OTHER_IMPLEMENTATIONS) & set(parameters))
