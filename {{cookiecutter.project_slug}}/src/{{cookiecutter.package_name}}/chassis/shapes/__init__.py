"""Shapes on the wire that services and models may know: nothing here imports Starlette.

A name's module is imported when the name is used: a command that prints the settings builds no models of lists.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .changes import Changes
    from .credentials import Email, GivenPassword, Name, Password, is_own_email
    from .emails import MAX_EMAIL_CHARACTERS, canonical_email
    from .ids import ID_PATTERN, new_id, new_ids
    from .page import CursorPage, Items, ListQuery, Page, PageQuery, Pagination, cursor_after, id_at

_MODULES = {
    "changes": ("Changes",),
    "credentials": ("Email", "GivenPassword", "Name", "Password", "is_own_email"),
    "emails": ("MAX_EMAIL_CHARACTERS", "canonical_email"),
    "ids": ("ID_PATTERN", "new_id", "new_ids"),
    "page": ("CursorPage", "Items", "ListQuery", "Page", "PageQuery", "Pagination", "cursor_after", "id_at"),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

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
    "is_own_email",
    "new_id",
    "new_ids",
]


def __getattr__(name: str) -> Any:
    """Import what is public here when it is first used (PEP 562)."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - as the module's docstring says

    value = globals()[name] = getattr(import_module(f".{_MODULE_OF[name]}", __name__), name)
    return value
