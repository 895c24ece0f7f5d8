"""The yardstick of reading users: bare Starlette on stock uvicorn, a pool of asyncpg connections, and orjson.

It has no validation, no middleware, no errors but a 500, and no limits: what is left is what Python needs at least.
"""

from __future__ import annotations

import contextlib
import os
import uuid
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import asyncpg
import orjson
from argon2 import PasswordHasher
from bare_starlette import identity, serve
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from users_table import ARGON2, POOL_SIZE

BY_ID = "SELECT id, name, email, created_at, updated_at, version FROM users WHERE id = $1"
FIRST = "SELECT id, name, email, created_at, updated_at, version FROM users ORDER BY id LIMIT $1"
AFTER = "SELECT id, name, email, created_at, updated_at, version FROM users WHERE id > $1 ORDER BY id LIMIT $2"
PAGE = "SELECT id, name, email, created_at, updated_at, version FROM users ORDER BY id LIMIT $1 OFFSET $2"
COUNT = "SELECT count(*) FROM users"
INSERT = """
    INSERT INTO users (id, name, email, password_hash, created_at, updated_at, version)
    VALUES ($1, $2, $3, $4, $5, $5, 1)
    RETURNING id, name, email, created_at, updated_at, version
"""

hasher = PasswordHasher(**ARGON2)


def json_response(document: Any, status: int = 200) -> Response:
    """*document* as JSON, times as the service writes them."""
    return Response(orjson.dumps(document, option=orjson.OPT_UTC_Z), status, media_type="application/json")


async def get(request: Request) -> Response:
    row = await request.app.state.pool.fetchrow(BY_ID, request.path_params["user_id"])
    return json_response(dict(row)) if row else Response(status_code=404)


async def listed(request: Request) -> Response:
    query = request.query_params
    limit = int(query.get("limit", "20"))
    if "cursor" in query:
        return await after(request.app.state.pool, query["cursor"], limit)
    return await page(request.app.state.pool, int(query.get("page", "1")), limit)


async def after(pool: asyncpg.Pool, cursor: str, limit: int) -> Response:
    if cursor:
        last_id = str(uuid.UUID(bytes=urlsafe_b64decode(cursor + "==")))
        rows = await pool.fetch(AFTER, last_id, limit + 1)
    else:
        rows = await pool.fetch(FIRST, limit + 1)
    following = urlsafe_b64encode(uuid.UUID(rows[limit - 1]["id"]).bytes).decode().rstrip("=")
    next_cursor = following if len(rows) > limit else None
    return json_response({"items": [dict(row) for row in rows[:limit]], "next_cursor": next_cursor})


async def page(pool: asyncpg.Pool, number: int, limit: int) -> Response:
    async with pool.acquire() as connection:
        total = await connection.fetchval(COUNT)
        rows = await connection.fetch(PAGE, limit, (number - 1) * limit)
    pages = -(-total // limit)
    pagination = {
        "page": number,
        "limit": limit,
        "total_items": total,
        "total_pages": pages,
        "has_next": number < pages,
        "has_prev": number > 1 and pages > 0,
    }
    return json_response({"items": [dict(row) for row in rows], "pagination": pagination})


async def create(request: Request) -> Response:
    new = orjson.loads(await request.body())
    hashed = await run_in_threadpool(hasher.hash, new["password"])
    values = (str(uuid.uuid4()), new["name"], new["email"], hashed, datetime.now(UTC))
    return json_response(dict(await request.app.state.pool.fetchrow(INSERT, *values)), 201)


@contextlib.asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    async with asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=POOL_SIZE, max_size=POOL_SIZE) as pool:
        app.state.pool = pool
        yield


app = Starlette(
    routes=[
        Route("/", identity),
        Route("/api/users", listed),
        Route("/api/users", create, methods=["POST"]),
        Route("/api/users/{user_id}", get),
    ],
    lifespan=lifespan,
)

if __name__ == "__main__":
    serve(app)
