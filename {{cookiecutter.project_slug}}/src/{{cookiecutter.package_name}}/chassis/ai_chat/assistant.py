"""One completion after the other: counted, bounded in time, tried again while nothing was said, and stored.

The sequence: a place, the conversation, the reserved tokens, the provider, its parts; then message and completion are
stored in one transaction, and only then is it done. What ends it before that (the client, a limit, the provider, the
end of the service) closes the provider's request and stores nothing. At last the tokens are settled.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING

import structlog

from ..cancellation import to_its_end
from ..errors import FieldError, Invalid, Overloaded, TooManyRequests
from ..rate_limits import report_limit, subscriber
from .budget import TokenBudget
from .conversations import Conversations
from .metrics import AssistantMetrics
from .provider import (
    BILLED_KINDS,
    OPERATOR_KINDS,
    RETRY_AFTER_SECONDS,
    RETRYABLE_KINDS,
    FailureKind,
    Message,
    Provider,
    ProviderFailed,
    Usage,
    error_of,
    estimated_tokens,
    message_tokens,
)
from .run import Run
from .shapes import AssistantRequest, AssistantResponse, TokenUsage

if TYPE_CHECKING:
    from ..access import Caller
    from ..service import Core
    from .tables import AssistantTables

RETRY_SECONDS = 0.5
MAX_RETRY_SECONDS = 10.0
"""A provider that asks for a longer pause is not asked again; the client is given the pause."""
LOG_SECONDS = 10.0
"""So often is the limit of completions named in the log while it rejects."""
MAX_BYTES_PER_TOKEN = 32
"""Of text; a provider that goes on beyond that does not keep the limit of tokens itself."""

_log = structlog.get_logger("chassis.ai_chat")


@dataclass(frozen=True, slots=True, kw_only=True)
class AssistantLimits:
    """Of one completion, of one caller, and of all in this process."""

    first_token_seconds: float
    token_seconds: float
    """Between two tokens."""
    total_seconds: float
    attempts: int
    input_tokens: int
    output_tokens: int
    completions: int
    completions_per_user: int
    daily_tokens: int
    """Of a user."""
    messages: int
    """Of a conversation, that are kept and sent."""
    keep_days: float
    """After the last message of a conversation."""


Instructions = Callable[["Caller", str], Awaitable[str]]
"""Returns the system prompt for a caller who says something."""


class Assistant:
    """Completes conversations, each after its *instructions*.

    With *logs_content*, messages and completions are written to the log.
    """

    def __init__(  # noqa: PLR0913 - all named
        self,
        core: Core,
        provider: Provider,
        tables: AssistantTables,
        *,
        limits: AssistantLimits,
        instructions: Instructions,
        logs_content: bool = False,
    ) -> None:
        self.conversations = Conversations(
            core.database, tables, max_messages=limits.messages, keep_days=limits.keep_days
        )
        self._budget = TokenBudget(core.database, tables.budgets, daily_tokens=limits.daily_tokens)
        self.total_seconds = limits.total_seconds
        self._provider = provider
        self._limits = limits
        self._instructions = instructions
        self._logs_content = logs_content
        self._metrics = AssistantMetrics(core.metrics, running=lambda: self._total)
        self._running: Counter[str] = Counter()
        """Completions of each holder."""
        self._total = 0
        self._logged_at = float("-inf")

    async def complete(self, caller: Caller, request: AssistantRequest) -> AsyncGenerator[str | AssistantResponse]:
        """The parts of the completion, and at the end all of it, which is stored then; to be closed.

        Raises Invalid, NotFound, Overloaded, TooManyRequests, Unavailable, UpstreamFailed and UpstreamTimedOut.
        """
        holder = f"user:{caller.user_id}" if caller.user_id else f"address:{subscriber(caller.client)}"
        run = Run(self._limits.total_seconds)
        with self._measured(run), self._place(holder, caller):
            messages = await self._messages(caller, request)
            run.input_tokens = estimated_tokens(messages)
            async with self._budget.reserved(holder, run.input_tokens + self._limits.output_tokens) as reservation:
                try:
                    async with aclosing(self._parts(messages, run)) as parts:
                        async for part in parts:
                            yield part
                finally:
                    reservation.used = sum(run.used)
                response = await to_its_end(self._store(caller, request, run))
            yield response

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Say what responds, and give its connections back at the end."""
        _log.info("assistant ready", provider=self._provider.label)
        async with aclosing(self._provider):
            yield

    async def tidy(self) -> None:
        """Delete what is kept no longer; for `core.tasks.every`."""
        await self.conversations.tidy()
        await self._budget.tidy()

    async def _messages(self, caller: Caller, request: AssistantRequest) -> Sequence[Message]:
        """What is sent: the instructions, as many of the last messages as have room, and what was given."""
        system = Message("system", await self._instructions(caller, request.message))
        given = [*(Message(each.role, each.content) for each in request.context), Message("user", request.message)]
        needed, limit = estimated_tokens([system, *given]), self._limits.input_tokens
        if needed > limit:
            detail = f"is too long, with its context: about {needed} tokens, of {limit} that are accepted"
            raise Invalid("The body is wrong.", (FieldError("/message", detail),))
        kept: list[Message] = []
        if request.conversation_id is not None:
            for message in reversed(await self.conversations.messages(request.conversation_id, caller.user_id)):
                needed += message_tokens(message.content)
                if needed > limit:
                    break
                kept.insert(0, message)
        if kept and kept[0].role == "assistant":  # some models accept no conversation that begins so
            del kept[0]
        return [system, *kept, *given]

    async def _parts(self, messages: Sequence[Message], run: Run) -> AsyncGenerator[str]:
        await self._provider.open()
        output_tokens = self._limits.output_tokens
        for attempt in range(1, self._limits.attempts + 1):
            run.asked = True
            try:
                async with aclosing(self._provider.stream(messages, max_output_tokens=output_tokens)) as items:
                    while run.usage is None and (part := await self._next(items, run)) is not None:
                        if part:
                            yield part
                        if run.size > MAX_BYTES_PER_TOKEN * output_tokens:
                            run.usage = Usage("length")
            except ProviderFailed as failed:
                pause = self._pause(failed, attempt, run)
                self._note(failed, attempt, outcome="failed" if pause is None else "retried")
                if pause is None:
                    run.free = not run.size and failed.kind not in BILLED_KINDS
                    raise error_of(failed) from failed
            else:
                return
            await asyncio.sleep(pause)

    async def _next(self, items: AsyncGenerator[str | Usage], run: Run) -> str | None:
        """The next part of the text; None at its end. Raises ProviderFailed."""
        seconds = self._limits.token_seconds if run.size else self._limits.first_token_seconds
        try:
            async with asyncio.timeout(min(seconds, run.seconds_left)):
                item = await anext(items)
        except TimeoutError:
            raise ProviderFailed(FailureKind.TIMED_OUT) from None
        except StopAsyncIteration:
            raise ProviderFailed(FailureKind.BROKEN_STREAM) from None
        if isinstance(item, Usage):
            run.usage = item
            if not run.size:
                raise ProviderFailed(FailureKind.EMPTY)
            return None
        began, part = run.size > 0, run.add(item)
        if run.size and not began:
            run.first_token_seconds = run.seconds
            self._metrics.first_token.observe(run.first_token_seconds)
        return part

    def _pause(self, failed: ProviderFailed, attempt: int, run: Run) -> float | None:
        """How long to wait before the next attempt; None if there is none."""
        if run.size or failed.kind not in RETRYABLE_KINDS or attempt == self._limits.attempts:
            return None
        backoff = RETRY_SECONDS * 2 ** (attempt - 1) * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
        pause = max(backoff, failed.retry_after_seconds or 0.0)
        return pause if pause < min(MAX_RETRY_SECONDS, run.seconds_left) else None

    def _note(self, failed: ProviderFailed, attempt: int, *, outcome: str) -> None:
        self._metrics.errors.labels(failed.kind.value).inc()
        known = {"status": failed.status, "code": failed.code, "provider_request_id": failed.request_id}
        said = {name: value for name, value in known.items() if value}
        log = _log.error if failed.kind in OPERATOR_KINDS else _log.warning
        kind, provider = failed.kind.value, self._provider.label
        log("provider failed", kind=kind, attempt=attempt, outcome=outcome, provider=provider, **said)

    async def _store(self, caller: Caller, request: AssistantRequest, run: Run) -> AssistantResponse:
        text, (input_tokens, output_tokens) = run.text, run.used
        messages = [Message("user", request.message), Message("assistant", text)]
        conversation_id = await self.conversations.add(request.conversation_id, caller.user_id, messages)
        run.stored = True
        response = AssistantResponse(
            conversation_id=conversation_id,
            message=text,
            finish_reason=run.usage.finish_reason if run.usage else "",
            usage=TokenUsage(input_tokens=input_tokens, output_tokens=output_tokens),
        )
        _log.info(
            "completion",
            user=caller.user_id,
            conversation=conversation_id,
            finish_reason=response.finish_reason,
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            first_token_ms=round(run.first_token_seconds * 1000),
            duration_ms=round(run.seconds * 1000),
            **({"message": request.message, "completion": text} if self._logs_content else {}),
        )
        return response

    @contextmanager
    def _place(self, holder: str, caller: Caller) -> Iterator[None]:
        limits = self._limits
        if self._total >= limits.completions:
            self._report_overload()
            detail = f"The assistant makes {limits.completions} completions at a time. Try again later."
            raise Overloaded(detail, retry_after_seconds=RETRY_AFTER_SECONDS)
        if self._running[holder] >= limits.completions_per_user:
            report_limit("completions", caller.client, user=caller.user_id)
            detail = f"You may have {limits.completions_per_user} completions at a time: wait for one to end."
            raise TooManyRequests(detail, retry_after_seconds=RETRY_AFTER_SECONDS)
        self._total += 1
        self._running[holder] += 1
        try:
            yield
        finally:
            self._total -= 1
            self._running[holder] -= 1
            if not self._running[holder]:
                del self._running[holder]

    def _report_overload(self) -> None:
        if monotonic() - self._logged_at > LOG_SECONDS:
            self._logged_at = monotonic()
            _log.warning("limit reached", completions=self._limits.completions, outcome="rejected with 503")

    @contextmanager
    def _measured(self, run: Run) -> Iterator[None]:
        outcome = "cancelled"
        try:
            yield
        except Exception:
            outcome = "failed" if run.asked else "rejected"
            raise
        finally:
            outcome = "done" if run.stored else outcome
            self._metrics.requests.labels(outcome).inc()
            if run.asked:
                self._metrics.duration.observe(run.seconds)
            for direction, tokens in zip(("input", "output"), run.used, strict=True):
                self._metrics.tokens.labels(direction).inc(tokens)
