"""Stops an update of a project that was made before there was a chassis, before anything in it is changed.

`cruft update` would see its modules deleted and others created in their place, so that an owner's edits of the old ones
would be lost or left over. It renders the project's own version first, into a folder beside its clone of the template
(cruft 2.16: `current_template` beside `repo`), and that render tells what is to be updated. A module of its own and not
part of `local_extensions`: that one, imported for the old version, stays in force while the new one is rendered.
"""

from __future__ import annotations

from pathlib import Path

from cookiecutter.exceptions import FailedHookException
from jinja2 import Environment
from jinja2.ext import Extension

RENDERED_BEFORE = "current_template"
ADVICE = (
    "This project is of 0.3 or older, and its platform has moved into src/PACKAGE/chassis/, which a plain update "
    "cannot follow. Nothing was changed. In a clone of the template: make adopt PROJECT=path-of-this-project"
)


class UpdateRefused(FailedHookException, SystemExit):  # type: ignore[misc]
    """An update that cannot be made; cookiecutter prints its own exceptions, and other programs end with its text."""

    def __init__(self) -> None:
        """Keep the advice as what is printed."""
        super().__init__(ADVICE)
        self.code = ADVICE


class UpdateGuard(Extension):
    """Refuses to render for an update from a version without a chassis."""

    def __init__(self, environment: Environment) -> None:
        """Look at what is updated; raises UpdateRefused."""
        super().__init__(environment)
        before = Path(__file__).resolve().parent.parent / RENDERED_BEFORE
        if (before / "pyproject.toml").exists() and not list(before.glob("src/*/chassis")):
            raise UpdateRefused
