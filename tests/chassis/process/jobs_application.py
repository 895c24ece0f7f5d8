"""A service whose jobs write what they do into a file, and take as long as they are asked to."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from pathlib import Path

from pydantic import BaseModel
from sqlalchemy import func, insert, select
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from acme_service.chassis import Core, Feature, Parts
from acme_service.chassis.access import PUBLIC
from acme_service.chassis.database import DatabaseNow
from acme_service.chassis.http import ApiRoute, allow, describe, read_body
from acme_service.chassis.jobs import Job, JobRun, Jobs
from acme_service.features.jobs import JOBS
from acme_service.models.user import User

from .. import sample


class Work(BaseModel):
    seconds: float = 0.0
    rows: int = 0
    """How many users it stores, each in a commit of its own."""
    fails: bool = False


def record_run() -> None:
    with Path("runs").open("a") as file:
        file.write(f"{os.getpid()}\n")


def build(core: Core) -> Parts:
    jobs = core.get(Jobs)

    async def run(this: JobRun[Work]) -> None:
        record_run()
        for number in range(this.payload.rows):

            async def store(session: AsyncSession, number: int = number) -> None:
                identifier = f"{this.job_id} {number}"
                if await session.scalar(select(User.id).where(User.id == identifier)) is None:
                    values = {"id": identifier, "email": identifier, "created_at": DatabaseNow()}
                    await session.execute(
                        insert(User).values(name="a", password_hash="", updated_at=DatabaseNow(), **values)
                    )

            await this.commit(store)
            await asyncio.sleep(this.payload.seconds / this.payload.rows)
        if not this.payload.rows:
            await asyncio.sleep(this.payload.seconds)
        if this.payload.fails:
            raise ValueError("as was wished")

    work = Job(name="work", payload=Work, run=run, attempts=5, retry_seconds=0.01)
    jobs.add(work)

    @describe(summary="Send", description="Send a job.", body=Work, responses={202: str}, tags=["test"])
    async def send(request: Request) -> Response:
        return JSONResponse(await jobs.send(work, await read_body(request, Work)), 202)

    @describe(summary="Count", description="Count what was stored.", responses={200: str}, tags=["test"])
    async def count(_request: Request) -> Response:
        return JSONResponse(await core.database.fetch_value(select(func.count()).select_from(User)))

    return Parts(routes=[ApiRoute("/work", {"POST": allow(PUBLIC, send), "GET": allow(PUBLIC, count)}, name="work")])


SERVICE = replace(sample.SERVICE, features=(*sample.SERVICE.features, JOBS, Feature(name="works", build=build)))
