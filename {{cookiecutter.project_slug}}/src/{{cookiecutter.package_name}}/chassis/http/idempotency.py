"""Requests that a client may safely repeat, by the field Idempotency-Key (draft-ietf-httpapi-idempotency-key-header).

A key belongs to its caller (an anonymous one is known by the address), method and path. The first request has the
effect; the same request again gets the first one's response, for 24 hours.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

from starlette.exceptions import HTTPException
from starlette.responses import Response

from ..access import current_caller
from ..errors import (
    DatabaseUnavailable,
    IdempotencyKeyInUse,
    IdempotencyKeyReused,
    MalformedRequest,
    ServiceError,
)
from ..idempotency import NO_KEY, EffectKey
from ..idempotency.keys import WAIT_SECONDS, AlreadyStored, IdempotencyKeys, StoredResponse
from ..metrics import route_of
from .rejections import rejection_of

if TYPE_CHECKING:
    from pydantic import BaseModel
    from sqlalchemy.ext.asyncio import AsyncSession
    from starlette.requests import Request

    from ..idempotency import IdempotencyColumns
    from ..service import Core

R = TypeVar("R")

REPLAYED = "Idempotency-Replayed"
_KEY = re.compile(r"[\x20-\x7e]{1,255}")
_NOT_STORED = frozenset({401, 429})
_FIRST_SERVER_ERROR = 500
_OF_CONNECTION = frozenset({b"connection", b"content-length", b"set-cookie"})


class Idempotency:
    """Responds to requests, each key's effect once; *table* is the service's table of keys."""

    def __init__(self, core: Core, table: type[IdempotencyColumns]) -> None:
        self._keys = IdempotencyKeys(core.database, table)
        self._problems = core.problems
        self._running: dict[str, asyncio.Event] = {}
        """The scopes that this process works on."""

    async def tidy(self) -> None:
        """Delete expired keys; for `core.tasks.every`."""
        await self._keys.tidy()

    async def respond(
        self,
        request: Request,
        body: BaseModel | None,
        effect: Callable[[EffectKey], Awaitable[R]],
        response_of: Callable[[R], Response],
    ) -> Response:
        """What *response_of* makes of the result of *effect*, or the response that the request's key has already.

        *effect* hands its key to the service, which claims it in its transaction. Without a key it just happens. A
        response of 401, 429 or 500 and above is not stored: the same key may then succeed. Raises MalformedRequest,
        IdempotencyKeyInUse (409), and IdempotencyKeyReused (422) if *body* is another than that of the key.
        """
        given = _given_key(request)
        if given is None:
            return response_of(await effect(NO_KEY))
        scope, fingerprint = _scope(request, given), _fingerprint(body)
        async with self._alone(scope):
            stored = await self._keys.find(scope)
            if stored is None:
                claim = _Claim(self._keys, scope, fingerprint, response_of)
                try:
                    return await self._first(request, claim, effect)
                except AlreadyStored:
                    stored = await self._keys.find(scope)
        return _replayed(stored, fingerprint)

    async def _first(self, request: Request, claim: _Claim, effect: Callable[[EffectKey], Awaitable[Any]]) -> Response:
        try:
            await effect(claim)
        except (IdempotencyKeyInUse, IdempotencyKeyReused):
            raise
        except (ServiceError, HTTPException) as error:
            if _is_stored(error.problem.status if isinstance(error, ServiceError) else error.status_code):
                with suppress(DatabaseUnavailable, AlreadyStored):  # it is the same without its key
                    await self._keys.store_without_effect(claim.scope, self._stored_error(request, claim, error))
            raise
        if claim.response is None:
            raise RuntimeError(f"{request.method} {request.url.path}: the service took no key: claim and store it")
        return claim.response

    def _stored_error(self, request: Request, claim: _Claim, error: ServiceError | HTTPException) -> StoredResponse:
        """As `ErrorMiddleware` writes it."""
        rejection = rejection_of(error, route_of(request.scope))
        status, headers, body = rejection.written(self._problems, request.scope["exchange"].request_id)
        return StoredResponse(claim.fingerprint, status, _kept(headers), body)

    @asynccontextmanager
    async def _alone(self, scope: str) -> AsyncIterator[None]:
        """Wait until no other request of this process works on *scope*, at most a second."""
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                while (running := self._running.get(scope)) is not None:
                    await running.wait()
        except TimeoutError:
            raise IdempotencyKeyInUse from None
        ended = self._running[scope] = asyncio.Event()
        try:
            yield
        finally:
            del self._running[scope]
            ended.set()


class _Claim(EffectKey):
    """The key of one request; `response` is there once it is stored."""

    def __init__(
        self, keys: IdempotencyKeys, scope: str, fingerprint: str, response_of: Callable[[Any], Response]
    ) -> None:
        self.scope, self.fingerprint = scope, fingerprint
        self.response: Response | None = None
        self._keys = keys
        self._response_of = response_of

    async def claim(self, session: AsyncSession) -> None:
        await self._keys.claim(session, self.scope, self.fingerprint)

    async def store(self, session: AsyncSession, result: Any) -> None:
        self.response = response = self._response_of(result)
        if not _is_stored(response.status_code):
            await self._keys.release(session, self.scope)
            return
        stored = StoredResponse(
            self.fingerprint, response.status_code, _kept(response.raw_headers), bytes(response.body)
        )
        await self._keys.store(session, self.scope, stored)


def _given_key(request: Request) -> str | None:
    given = [value.strip() for value in request.headers.getlist("idempotency-key")]
    if not given:
        return None
    if len(given) > 1 or not _KEY.fullmatch(given[0]):
        raise MalformedRequest("Idempotency-Key must be given once, with 1 to 255 printable ASCII characters.")
    return given[0]


def _scope(request: Request, key: str) -> str:
    user_id = current_caller.get().user_id
    client = request.client.host if request.client else ""
    caller = ("user", user_id) if user_id else ("address", client)
    return _digest([*caller, request.method, request.scope["path"], key])


def _fingerprint(body: BaseModel | None) -> str:
    """Of what the client said; a secret is the same as any other, and a default is not the same as nothing."""
    return _digest(None if body is None else body.model_dump(mode="json", exclude_unset=True))


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _kept(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers if name not in _OF_CONNECTION]


def _is_stored(status: int) -> bool:
    return status < _FIRST_SERVER_ERROR and status not in _NOT_STORED


def _replayed(stored: StoredResponse | None, fingerprint: str) -> Response:
    if stored is None:  # it was there a moment ago
        raise IdempotencyKeyInUse
    if stored.fingerprint != fingerprint:
        raise IdempotencyKeyReused
    response = Response(stored.body, stored.status)
    response.raw_headers += [(name.encode("latin-1"), value.encode("latin-1")) for name, value in stored.headers]
    response.headers[REPLAYED] = "true"
    return response
