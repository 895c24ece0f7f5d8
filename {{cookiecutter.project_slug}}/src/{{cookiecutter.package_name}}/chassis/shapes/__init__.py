"""Shapes on the wire that services and models may know: nothing here imports Starlette."""

from __future__ import annotations

from .changes import Changes
from .credentials import (
    MAX_EMAIL_CHARACTERS,
    Email,
    GivenPassword,
    Name,
    Password,
    canonical_email,
)
from .ids import ID_PATTERN, new_id
from .page import CursorPage, Items, ListQuery, Page, PageQuery, Pagination, cursor_after, id_at

__all__ = [
    "ID_PATTERN",
    "MAX_EMAIL_CHARACTERS",
    "Changes",
    "CursorPage",
    "Email",
    "GivenPassword",
    "Items",
    "ListQuery",
    "Name",
    "Page",
    "PageQuery",
    "Pagination",
    "Password",
    "canonical_email",
    "cursor_after",
    "id_at",
    "new_id",
]
