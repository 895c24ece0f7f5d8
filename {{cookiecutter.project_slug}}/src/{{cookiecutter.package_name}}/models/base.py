"""The parent of every table, and with it the metadata that migrations compare the database with."""

from __future__ import annotations

from sqlalchemy import MetaData
from sqlalchemy.orm import DeclarativeBase

from ..chassis.database import NAMING_CONVENTION


class Base(DeclarativeBase):
    """The parent of every table's class."""

    metadata = MetaData(naming_convention=NAMING_CONVENTION)
