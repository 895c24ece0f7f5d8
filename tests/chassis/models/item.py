from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Mapped, mapped_column

from acme_service.chassis.database import UTCDateTime
from acme_service.chassis.shapes import new_id

from .base import Base


class Item(Base):
    __tablename__ = "items"

    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    name: Mapped[str]
    code: Mapped[str] = mapped_column(unique=True, info={"canonical": lambda code: code.strip("-").lower()})
    created_at: Mapped[datetime] = mapped_column(UTCDateTime)
