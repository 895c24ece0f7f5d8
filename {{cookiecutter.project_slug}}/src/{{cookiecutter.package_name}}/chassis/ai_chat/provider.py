"""What completes a conversation: a stream of text, and how many tokens it took; and every way in which it may fail."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import ceil

from ..errors import ServiceError, Unavailable, UpstreamFailed, UpstreamTimedOut

BYTES_PER_TOKEN = 3
"""Of UTF-8, in ordinary text a little more: what is estimated before, or where, a provider does not count."""
RETRY_AFTER_SECONDS = 10
"""What a client is given where nothing says better."""
MESSAGE_TOKENS = 4
"""What a message costs besides its content."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation."""

    role: str
    """`system`, `user` or `assistant`."""
    content: str


@dataclass(frozen=True, slots=True)
class Usage:
    """The last item of a completion: why it ended, and the tokens as the provider counts; None where it does not."""

    finish_reason: str
    """`stop`; `length` at the limit of tokens; or the provider's own word."""
    input_tokens: int | None = None
    output_tokens: int | None = None


class Provider:
    """Completes conversations; to be derived from."""

    label = ""
    """What it is, for the log: a model and its host."""

    def stream(self, messages: Sequence[Message], *, max_output_tokens: int) -> AsyncGenerator[str | Usage]:
        """The parts of the text, and at the end a Usage; to be closed, which cancels the request.

        Raises ProviderFailed.
        """
        raise NotImplementedError

    async def open(self) -> None:
        """Prepare what requests need; called before each, and not counted as time of the provider."""

    async def renew(self) -> None:
        """Let go of connections that may be dead, after the process stood still."""

    async def aclose(self) -> None:
        """Give back what is open."""


class FailureKind(StrEnum):
    """Why there is no completion, or no whole one."""

    REJECTED_KEY = "rejected_key"
    REJECTED_REQUEST = "rejected_request"
    RATE_LIMITED = "rate_limited"
    OUT_OF_QUOTA = "out_of_quota"
    FAILED = "failed"
    UNREACHABLE = "unreachable"
    TIMED_OUT = "timed_out"
    BROKEN_STREAM = "broken_stream"
    INVALID_RESPONSE = "invalid_response"
    EMPTY = "empty"


RETRYABLE_KINDS = frozenset(
    {FailureKind.RATE_LIMITED, FailureKind.FAILED, FailureKind.UNREACHABLE, FailureKind.BROKEN_STREAM}
)
"""What the same request may not meet again."""
BILLED_KINDS = frozenset({FailureKind.TIMED_OUT, FailureKind.EMPTY})
"""What a provider may have worked for although it said nothing."""
OPERATOR_KINDS = frozenset({FailureKind.REJECTED_KEY, FailureKind.OUT_OF_QUOTA})
"""What goes on until the operator mends it."""


class ProviderFailed(Exception):
    """No whole completion. It holds nothing of what the provider wrote, which may be a key or a prompt."""

    def __init__(
        self,
        kind: FailureKind,
        *,
        status: int | None = None,
        retry_after_seconds: float | None = None,
        request_id: str = "",
        code: str = "",
    ) -> None:
        super().__init__(kind.value)
        self.kind = kind
        self.status = status
        self.retry_after_seconds = retry_after_seconds
        self.request_id = request_id
        """The provider's own."""
        self.code = code
        """A word for what happened: the provider's, or the name of the exception."""


def estimated_tokens(messages: Sequence[Message]) -> int:
    """Of ordinary text a little more than it has."""
    return sum(message_tokens(message.content) for message in messages)


def message_tokens(content: str) -> int:
    """As `estimated_tokens`, of a message with *content*."""
    return MESSAGE_TOKENS + text_tokens(len(content.encode()))


def text_tokens(size_bytes: int) -> int:
    """As `estimated_tokens`, of a text of so many bytes."""
    return -(-size_bytes // BYTES_PER_TOKEN)


def error_of(failed: ProviderFailed) -> ServiceError:
    """What a client is shown of *failed*."""
    if failed.kind is FailureKind.RATE_LIMITED or failed.retry_after_seconds is not None:
        seconds = ceil(failed.retry_after_seconds or RETRY_AFTER_SECONDS)
        return Unavailable("The assistant has too much to do. Try again later.", retry_after_seconds=seconds)
    if failed.kind is FailureKind.TIMED_OUT:
        return UpstreamTimedOut("The assistant did not respond in time. Try again.")
    if failed.kind in OPERATOR_KINDS:
        return UpstreamFailed("The assistant cannot be used now: its operator has to mend that.")
    if failed.kind is FailureKind.REJECTED_REQUEST:
        return UpstreamFailed("The assistant cannot respond to this request.")
    if failed.kind is FailureKind.EMPTY:
        return UpstreamFailed("The assistant had nothing to say to this.")
    return UpstreamFailed("The assistant could not respond. Try again later.")
