"""A service whose effects take time, are rejected, or end in a crash, as the headers of the request wish."""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import replace

from pydantic import BaseModel, SecretStr
from sqlalchemy import func, insert, select
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from acme_service.chassis import Core, Feature, Parts
from acme_service.chassis.access import PUBLIC
from acme_service.chassis.errors import (
    Conflict,
    ContentTooLarge,
    Forbidden,
    ServiceError,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
)
from acme_service.chassis.http import ApiRoute, Idempotency, allow, describe, read_body, read_if_match
from acme_service.chassis.idempotency import EffectKey
from acme_service.chassis.shapes import new_id
from acme_service.models.base import IdempotencyKey
from acme_service.models.user import User

from .. import sample

REJECTIONS: dict[str, ServiceError | HTTPException] = {
    "conflict": Conflict("It is there."),
    "forbidden": Forbidden("Not you."),
    "limit": TooManyRequests("Later.", retry_after_seconds=1),
    "unknown": Unauthenticated("Who?", challenge="Bearer"),
    "unavailable": Unavailable("Not now."),
    "large": ContentTooLarge("Too much."),
    "gone": HTTPException(410, "It was here.", headers={"X-Gone": "yes"}),
    "not modified": HTTPException(304),
    "gateway": HTTPException(502),
    "slow down": HTTPException(429),
}


class Order(BaseModel):
    name: str
    secret: SecretStr = SecretStr("")
    amount: int = 1


def die_if(request: Request, place: str) -> None:
    if request.headers.get("x-die") == place:
        os.kill(os.getpid(), signal.SIGKILL)


def build(core: Core) -> Parts:
    idempotency = Idempotency(core, IdempotencyKey)

    @describe(summary="Order", description="Order.", body=Order, responses={201: Order}, tags=["test"], idempotent=True)
    async def order(request: Request) -> Response:
        body = await read_body(request, Order)

        async def effect(key: EffectKey) -> str:
            identifier = new_id()
            values = {"id": identifier, "name": body.name, "email": identifier, "password_hash": ""}
            moment = func.current_timestamp()
            async with core.database.transaction() as session:
                await key.claim(session)
                die_if(request, "claimed")
                await session.execute(insert(User).values(**values, created_at=moment, updated_at=moment))
                await asyncio.sleep(float(request.headers.get("x-seconds", "0")))
                if (wish := request.headers.get("x-reject", "")) in REJECTIONS:
                    raise REJECTIONS[wish]
                if wish == "bug":
                    raise ZeroDivisionError
                if wish != "forgotten":
                    await key.store(session, identifier)
                die_if(request, "stored")
            die_if(request, "committed")
            return identifier

        def created(identifier: str) -> Response:
            headers = {"Location": f"/orders/{identifier}", "Set-Cookie": "once=1"}
            return JSONResponse({"id": identifier}, int(request.headers.get("x-status", "201")), headers)

        return await idempotency.respond(request, body, effect, created)

    @describe(summary="Count", description="Count.", responses={200: str}, tags=["test"])
    async def count(_request: Request) -> Response:
        return JSONResponse(await core.database.fetch_value(select(func.count()).select_from(User)))

    @describe(summary="Change", description="Change.", responses={204: None}, tags=["test"], versioned=True)
    async def change(request: Request) -> Response:
        return JSONResponse(sorted(read_if_match(request) or []))

    return Parts(
        routes=[
            ApiRoute(
                "/orders",
                {
                    "GET": allow(PUBLIC, count),
                    "POST": allow(PUBLIC, order),
                    "PUT": allow(PUBLIC, order),
                    "PATCH": allow(PUBLIC, change, if_match_required=True),
                },
                name="orders",
            ),
            ApiRoute("/other-orders", {"POST": allow(PUBLIC, order)}, name="other-orders"),
        ]
    )


SERVICE = replace(sample.SERVICE, features=(*sample.SERVICE.features, Feature(name="effects", build=build)))
