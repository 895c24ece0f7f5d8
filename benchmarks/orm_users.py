"""The usual stack of reading users: FastAPI, pydantic models as responses, and SQLAlchemy's async ORM on asyncpg.

A session for each request comes from a dependency, as FastAPI's and SQLAlchemy's documentation show; it has no
middleware, so that what is measured is how the rows are read.
"""

from __future__ import annotations

import os
import uuid
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated

from argon2 import PasswordHasher
from bare_starlette import identity, serve
from fastapi import Depends, FastAPI, HTTPException
from pydantic import BaseModel, ConfigDict
from sqlalchemy import DateTime, func, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from starlette.concurrency import run_in_threadpool
from users_table import ARGON2, POOL_SIZE

URL = os.environ["DATABASE_URL"].replace("postgresql://", "postgresql+asyncpg://", 1)

engine = create_async_engine(URL, pool_size=POOL_SIZE, max_overflow=0)
sessions = async_sessionmaker(engine, expire_on_commit=False)
hasher = PasswordHasher(**ARGON2)


class Base(DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "users"

    id: Mapped[str] = mapped_column(primary_key=True, default=lambda: str(uuid.uuid4()))
    name: Mapped[str]
    email: Mapped[str] = mapped_column(unique=True)
    password_hash: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    updated_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    version: Mapped[int]


class UserCreate(BaseModel):
    name: str
    email: str
    password: str


class UserOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: str
    name: str
    email: str
    created_at: datetime
    updated_at: datetime
    version: int


class Pagination(BaseModel):
    page: int
    limit: int
    total_items: int
    total_pages: int
    has_next: bool
    has_prev: bool


class UserPage(BaseModel):
    items: list[UserOut]
    pagination: Pagination


class UserCursorPage(BaseModel):
    items: list[UserOut]
    next_cursor: str | None


async def session_of_request() -> AsyncIterator[AsyncSession]:
    async with sessions() as session:
        yield session


Session = Annotated[AsyncSession, Depends(session_of_request)]
app = FastAPI()
app.add_api_route("/", identity)


@app.get("/api/users/{user_id}", response_model=UserOut)
async def get(user_id: str, session: Session) -> User:
    user = await session.get(User, user_id)
    if user is None:
        raise HTTPException(404)
    return user


@app.get("/api/users")
async def listed(
    session: Session, page: int = 1, limit: int = 20, cursor: str | None = None
) -> UserPage | UserCursorPage:
    if cursor is not None:
        return await after(session, cursor, limit)
    total = (await session.execute(select(func.count()).select_from(User))).scalar_one()
    users = (await session.scalars(select(User).order_by(User.id).limit(limit).offset((page - 1) * limit))).all()
    pages = -(-total // limit)
    return UserPage(
        items=[UserOut.model_validate(user) for user in users],
        pagination=Pagination(
            page=page,
            limit=limit,
            total_items=total,
            total_pages=pages,
            has_next=page < pages,
            has_prev=page > 1 and pages > 0,
        ),
    )


async def after(session: AsyncSession, cursor: str, limit: int) -> UserCursorPage:
    statement = select(User).order_by(User.id).limit(limit + 1)
    if cursor:
        statement = statement.where(User.id > str(uuid.UUID(bytes=urlsafe_b64decode(cursor + "=="))))
    users = (await session.scalars(statement)).all()
    following = urlsafe_b64encode(uuid.UUID(users[limit - 1].id).bytes).decode().rstrip("=")
    return UserCursorPage(
        items=[UserOut.model_validate(user) for user in users[:limit]],
        next_cursor=following if len(users) > limit else None,
    )


@app.post("/api/users", status_code=201, response_model=UserOut)
async def create(new: UserCreate, session: Session) -> User:
    now = datetime.now(UTC)
    hashed = await run_in_threadpool(hasher.hash, new.password)
    user = User(name=new.name, email=new.email, password_hash=hashed, created_at=now, updated_at=now, version=1)
    session.add(user)
    await session.commit()
    return user


if __name__ == "__main__":
    serve(app)
