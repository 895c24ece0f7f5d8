"""The parent of every table, with the metadata that migrations compare the database with; and the chassis's table."""

from __future__ import annotations

from sqlalchemy import MetaData
from sqlalchemy.orm import DeclarativeBase

from ..chassis.database import NAMING_CONVENTION, TYPE_ANNOTATION_MAP
from ..chassis.idempotency import IdempotencyColumns


class Base(DeclarativeBase):
    """The parent of every table's class."""

    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    type_annotation_map = TYPE_ANNOTATION_MAP


class IdempotencyKey(IdempotencyColumns, Base):
    """The requests of the last 24 hours that had an Idempotency-Key, and their responses."""

    __tablename__ = "idempotency_keys"
