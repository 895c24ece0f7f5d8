"""OpenAI's SDK: one streamed completion, and every way in which it fails, by kind.

Only `openai_provider.py` imports this module, when the first request needs it. The SDK's own retries and time limits
are off; `assistant.py` has those.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Any, cast

import httpx2
import openai

from .provider import FailureKind, ProviderFailed, Usage

CONNECT_SECONDS = 5.0
MAX_RETRY_AFTER_SECONDS = 3600.0
MAX_EVENT_BYTES = 131_072
"""Of an event of a stream; of a whole response that is none."""
CHUNKS_AT_ONCE = 16
"""That are read without a break for other requests, where many come together."""

_REJECTED_KEY = frozenset({401, 403})
_RATE_LIMITED = 429
_OUT_OF_QUOTA = "insufficient_quota"
_RETRYABLE_STATUSES = frozenset({408, 409})
_SERVER_ERROR = 500
_BLANK_LINE = re.compile(rb"\n\n|\r\r|\r\n\r\n")
_REASON = re.compile(r"[a-z_]{1,40}")
_REQUEST_ID = re.compile(r"[\w.:-]{1,100}", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,9}(\.[0-9]{1,6})?")
_MOST_TOKENS = 1_000_000_000


class CompletionsClient:
    """Holds connections to *base_url*."""

    def __init__(self, *, base_url: str, api_key: str) -> None:
        http_client = openai.DefaultAsyncHttpxClient(
            timeout=httpx2.Timeout(None, connect=CONNECT_SECONDS),
            event_hooks={"response": [_bound]},
            headers={"Accept-Encoding": "identity"},  # what is bounded is what is read
            follow_redirects=False,  # the key is for this address alone
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=100),
        )
        self._client = openai.AsyncOpenAI(
            base_url=base_url,
            api_key=api_key,
            max_retries=0,
            timeout=http_client.timeout,
            http_client=http_client,
        )
        # It takes these from the environment, and would send them to any address.
        self._client.organization = self._client.project = None

    async def stream(self, parameters: Mapping[str, Any]) -> AsyncGenerator[str | Usage]:
        """The parts of the text, and at the end a Usage; raises ProviderFailed."""
        completion = _Completion()
        options: dict[str, Any] = {"stream_options": {"include_usage": True}, **parameters, "stream": True}
        try:
            # As plain objects: the SDK's models would take four fifths of the time of a token.
            async with await self._client.post(
                "/chat/completions", body=options, cast_to=object, stream=True, stream_cls=openai.AsyncStream[object]
            ) as chunks:
                count = 0
                async for chunk in chunks:
                    count += 1
                    if count % CHUNKS_AT_ONCE == 0:
                        await asyncio.sleep(0)
                    if text := completion.read(chunk):
                        yield text
        except ProviderFailed:
            raise
        except openai.APIStatusError as error:
            raise _of_status(error) from None
        except (openai.APIConnectionError, httpx2.HTTPError, httpx2.StreamError, OSError) as error:
            raise ProviderFailed(completion.broken, code=_root(error)) from None
        except openai.APIError as error:  # an event that says that it failed
            raise ProviderFailed(FailureKind.FAILED, code=_code(error)) from None
        except Exception as error:  # noqa: BLE001 - whatever it wrote, it is its failure
            raise ProviderFailed(FailureKind.INVALID_RESPONSE, code=type(error).__name__) from None
        yield completion.usage()

    async def aclose(self) -> None:
        await self._client.close()


class _Completion:
    """What was read of one; nothing is validated, so wrong types raise what Python raises for them."""

    def __init__(self) -> None:
        self._begun = False
        self._finish_reason: object = None
        self._usage: Any = None

    @property
    def broken(self) -> FailureKind:
        """What a lost connection means."""
        return FailureKind.BROKEN_STREAM if self._begun else FailureKind.UNREACHABLE

    def read(self, chunk: Any) -> str | None:
        """The text of *chunk*, if it has some."""
        self._usage = chunk.get("usage") or self._usage
        for choice in (chunk.get("choices") or ())[:1]:
            self._finish_reason = choice.get("finish_reason") or self._finish_reason
            text = choice["delta"].get("content")
            if not text:
                return None
            if not isinstance(text, str):
                raise TypeError
            self._begun = True
            return text
        return None

    def usage(self) -> Usage:
        """At the end of the stream; raises ProviderFailed if that was no proper one."""
        if self._finish_reason is None:
            raise ProviderFailed(FailureKind.BROKEN_STREAM if self._begun else FailureKind.INVALID_RESPONSE)
        reason = str(self._finish_reason)
        counted = self._usage if isinstance(self._usage, dict) else {}
        input_tokens, output_tokens = (_count(counted.get(name)) for name in ("prompt_tokens", "completion_tokens"))
        return Usage(reason if _REASON.fullmatch(reason) else "other", input_tokens, output_tokens)


async def _bound(response: httpx2.Response) -> None:
    """Let no response, whatever its headers say, take more memory or time than its bytes."""
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        raise ProviderFailed(FailureKind.INVALID_RESPONSE, code="content-encoding")
    if not response.is_success:
        response.headers["content-type"] = "application/json"  # any charset of Python's would be applied
    response.stream = _BoundedEvents(cast("httpx2.AsyncByteStream", response.stream), of_events=response.is_success)


class _BoundedEvents(httpx2.AsyncByteStream):
    """*stream*, whose events are bounded: the SDK keeps one until it is whole. What is not *of_events* is one."""

    def __init__(self, stream: httpx2.AsyncByteStream, *, of_events: bool) -> None:
        self._stream = stream
        self._of_events = of_events

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size, tail = 0, b""
        async for piece in self._stream:
            size += len(piece)
            joined = tail + piece
            if self._of_events and (ends := [end.end() for end in _BLANK_LINE.finditer(joined)]):
                size = len(joined) - ends[-1]
            if size > MAX_EVENT_BYTES:
                raise ProviderFailed(FailureKind.INVALID_RESPONSE)
            tail = joined[-3:]
            yield piece

    async def aclose(self) -> None:
        await self._stream.aclose()


def _of_status(error: openai.APIStatusError) -> ProviderFailed:
    status, headers, code = error.status_code, error.response.headers, _code(error)
    if status in _REJECTED_KEY:
        kind = FailureKind.REJECTED_KEY
    elif code == _OUT_OF_QUOTA:
        kind = FailureKind.OUT_OF_QUOTA
    elif status == _RATE_LIMITED:
        kind = FailureKind.RATE_LIMITED
    elif status >= _SERVER_ERROR or status in _RETRYABLE_STATUSES:
        kind = FailureKind.FAILED
    else:
        kind = FailureKind.REJECTED_REQUEST
    request_id = headers.get("x-request-id", "")
    return ProviderFailed(
        kind,
        status=status,
        retry_after_seconds=_seconds(headers.get("retry-after", "")),
        request_id=request_id if _REQUEST_ID.fullmatch(request_id) else "",
        code=code,
    )


def _code(error: openai.APIError) -> str:
    """The provider's word for *error*; nothing that could be more than a word."""
    code = str(error.code or "")
    return code if _REASON.fullmatch(code) else ""


def _root(error: BaseException) -> str:
    """The name of the first cause: a refusal, a wrong name and a failed handshake look alike otherwise."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return type(error).__name__


def _seconds(text: str) -> float | None:
    """Of Retry-After; a date there is rare, and taken for none."""
    return min(float(text), MAX_RETRY_AFTER_SECONDS) if _NUMBER.fullmatch(text) else None


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and 0 <= value <= _MOST_TOKENS else None
