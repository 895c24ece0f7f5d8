"""Tests marked `together` run at the same time as the others of their file: they mostly wait for processes to end."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from .service import in_thread

_running: dict[pytest.Function, Callable[[], Any]] = {}


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "together: uses no fixture, and runs beside the others of its file")


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if pyfuncitem.get_closest_marker("together") is None:
        return None
    if pyfuncitem not in _running:
        _running.update({item: in_thread(partial(item.obj, **_parameters(item))) for item in _beside(pyfuncitem)})
    _running.pop(pyfuncitem)()
    return True


def _beside(first: pytest.Function) -> list[pytest.Function]:
    """*first* and those chosen tests of its file that run with it."""
    chosen = [item for item in first.session.items if isinstance(item, pytest.Function)]
    return [item for item in chosen if item.path == first.path and item.get_closest_marker("together") is not None]


def _parameters(item: pytest.Function) -> dict[str, Any]:
    return item.callspec.params if hasattr(item, "callspec") else {}
