"""Which of uvicorn's tests ask for something that our server does otherwise, and why it does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_REASONS: Final[Mapping[str, tuple[str, ...]]] = {
    "an invalid response is a 500 with problem details while nothing of it is sent; uvicorn closes without a word": (
        "test_invalid_header_name",
        "test_partial_response_returned",
        "test_response_header_splitting",
        "test_duplicate_start_message",
    ),
    "what an application does after its whole response is logged, and costs nobody the connection": (
        "test_message_after_body_complete",
        "test_value_returned",
    ),
    "how a response is framed is the server's business: a length is not sent in chunks as well": (
        "test_chunked_encoding[httptools]",
        "test_chunked_encoding_empty_body",
    ),
    "an application is not called for a client that has left before": ("test_early_disconnect",),
    "one clock for all connections, asked by the listener, and no timer for each": (
        "test_keepalive_timeout_with_pipelined_requests",
    ),
    "rejections are problem details, and say what was wrong": (
        "test_invalid_http_request",
        "test_invalid_upgrade",
        "test_server_reject_connection_with_invalid_status",
    ),
    "a head has a limit of its own, 32 KiB, above which the response is 431": (
        "test_huge_headers_httptools_will_pass",
        "test_huge_headers_httptools",
    ),
    "the access line is written by the instrumentation, with the request id": ("test_request_logging",),
    "a path prefix, ASGI 2, a server without websockets and a limit of connections are options that it has not": (
        "test_root_path",
        "test_raw_path",
        "test_scopes[httptools-asgi2app-expected_scopes1]",
        "test_unsupported_ws_upgrade_request",
        "test_unsupported_ws_upgrade_request_warn_on_auto",
        "test_max_concurrency",
    ),
    "an Upgrade that is ignored is no news: every cleartext request of Java has one": (
        "test_header_upgrade_is_not_websocket_depend_installed",
        "test_header_upgrade_is_websocket_depend_not_installed",
    ),
    "no response names the server": (
        "test_default_server_headers",
        "test_multiple_server_header",
    ),
    "a small compressed message could be a thousand times its size": ("test_supports_permessage_deflate_extension",),
    "a websocket whose handler returned or failed is closed by a Close frame, not by the end of the connection": (
        "test_duplicate_handshake",
        "test_asgi_return_value",
        "test_close_transport_on_asgi_return",
    ),
    "a client has two seconds for its Close at the shutdown too": ("test_shutdown_while_the_close_reply_is_pending",),
}

DIFFERENCES: Final = {name: reason for reason, names in _REASONS.items() for name in names}
"""The reason by the name of a test, with its parameters where only those ask for something else."""
