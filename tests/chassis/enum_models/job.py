from __future__ import annotations

from enum import Enum, IntEnum, StrEnum

from sqlalchemy.orm import Mapped, mapped_column

from .base import Base


class State(StrEnum):
    WAITING = "waiting"
    RUNNING_AGAIN = "running again, after a failure"


class Color(str, Enum):  # noqa: UP042 - as older models have them
    RED = "red"


class Level(IntEnum):
    LOW = 1


class Job(Base):
    __tablename__ = "jobs"

    id: Mapped[str] = mapped_column(primary_key=True)
    state: Mapped[State] = mapped_column(index=True, server_default=State.WAITING)
    before: Mapped[State | None]
    color: Mapped[Color]
    level: Mapped[Level]
