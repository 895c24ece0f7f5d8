"""What an operator is told about a failure of the database."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from acme_service.chassis.database import Database
from acme_service.chassis.database.failures import reason_of
from acme_service.chassis.errors import DatabaseUnavailable


@pytest.mark.parametrize("name", [".pgpass", ".pg_service.conf", ".postgresql/postgresql.key", ".postgresql/root.crt"])
def test_a_home_of_another_user_is_named_as_the_reason(name: str) -> None:
    reason = reason_of(PermissionError(13, "Permission denied", f"/root/{name}"))

    assert "Permission denied" in reason
    assert f"/root/{name}" in reason
    assert "HOME" in reason


def test_another_file_that_cannot_be_read_says_nothing_of_home() -> None:
    assert (
        reason_of(PermissionError(13, "Permission denied", "/srv/service.db")) == "Permission denied: /srv/service.db"
    )


@pytest.mark.anyio
async def test_what_the_driver_may_not_look_at_is_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the service runs as another user than HOME says; the tests may run as one who may look at everything."""
    exists = Path.exists

    def look(path: Path) -> bool:
        if ".postgresql" in path.parts:
            raise PermissionError(13, "Permission denied", str(path))
        return exists(path)

    monkeypatch.setattr(Path, "exists", look)
    database = Database("postgresql://service@127.0.0.1:1/service")
    with pytest.raises(DatabaseUnavailable) as caught:
        await database.ping()
    await database.close()

    assert "HOME" in reason_of(caught.value)


@pytest.mark.anyio
async def test_a_driver_that_cannot_be_imported_is_not_its_own_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever follows the causes of an exception, as the report of a failed migration does, would never end."""
    database = Database("postgresql://service@127.0.0.1:1/service")
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    with pytest.raises(ImportError) as caught:
        await database.ping()
    await database.close()

    assert caught.value.__cause__ is None
    assert "asyncpg" in reason_of(caught.value)


def test_causes_in_a_circle_have_a_reason() -> None:
    error, cause = RuntimeError("the error"), RuntimeError("the cause")
    error.__cause__, cause.__cause__ = cause, error

    assert reason_of(error) == "the cause"
