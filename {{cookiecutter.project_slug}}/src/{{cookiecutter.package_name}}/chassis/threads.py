"""Threads that the process cannot do without, apart from those that a service or a library starts."""

from __future__ import annotations

from threading import Thread


class ChassisThread(Thread):
    """A daemon thread of the chassis: an exception that ends it ends the process (UNHANDLED_ERRORS)."""

    def __init__(self, *, target: object, name: str) -> None:
        super().__init__(target=target, name=name, daemon=True)  # type: ignore[arg-type]
