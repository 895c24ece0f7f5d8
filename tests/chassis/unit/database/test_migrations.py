from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata, produce_migrations, render_python_code
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import (
    Column,
    Connection,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    exc,
    insert,
    inspect,
    select,
    text,
)
from structlog.testing import capture_logs

from acme_service.chassis.database import Database
from acme_service.chassis.database.drift import differences as missing_of
from acme_service.chassis.database.drift import metadata_of
from acme_service.chassis.database.migrations import MigrationFailed, Schema
from acme_service.chassis.database.migrations.revision import write
from acme_service.chassis.database.migrations.runner import alembic_config, comparison, migrated
from acme_service.chassis.database.revisions import newest_revision
from acme_service.chassis.database.schema import is_current

from ...enum_models.job import Color, Job, Level, State
from ...models.item import Item
from .schema import SCHEMA, TESTS

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Database]:
    database = Database(url)
    await database.start()
    yield database
    await database.close()


async def tables(url: str) -> set[str]:
    async with opened(url) as database, database.reading() as connection:
        return set(await connection.run_sync(lambda sync: inspect(sync).get_table_names()))


async def test_the_schema_goes_up_down_and_up_again(empty_database_url: str) -> None:
    every_table = {"items", "notes"}

    for revision, expected in (("head", every_table), ("base", set[str]()), ("head", every_table)):
        await migrated(empty_database_url, SCHEMA, revision)

        assert expected == await tables(empty_database_url) - {"alembic_version"}


async def test_migrating_a_current_schema_changes_nothing(database_url: str) -> None:
    await migrated(database_url, SCHEMA)
    async with opened(database_url) as database:
        assert await is_current(database, SCHEMA.versions)


async def test_the_migrated_schema_is_what_the_models_say(database_url: str) -> None:
    def differences(connection: Connection) -> list[Any]:
        options = comparison(connection, SCHEMA)
        context = MigrationContext.configure(connection, opts=options)
        return list(compare_metadata(context, options["target_metadata"]))

    async with opened(database_url) as database, database.reading() as connection:
        assert [] == await connection.run_sync(differences)


async def test_the_newest_revision_is_the_only_head_that_alembic_sees() -> None:
    assert [newest_revision(SCHEMA.versions)] == ScriptDirectory.from_config(alembic_config(SCHEMA)).get_heads()


async def test_every_file_name_begins_with_its_revision() -> None:
    for script in ScriptDirectory.from_config(alembic_config(SCHEMA)).walk_revisions():
        assert script.path.rpartition("/")[2].startswith(f"{script.revision}_")


async def test_a_revision_that_drops_a_table_brings_it_back_on_either_database(tmp_path: Path) -> None:
    """Revisions are written by comparing with SQLite, whose own type for a time PostgreSQL does not know."""

    def downgrade(connection: Connection) -> str:
        options = comparison(connection, SCHEMA)
        context = MigrationContext.configure(connection, opts=options)
        operations = produce_migrations(context, MetaData()).downgrade_ops
        assert operations is not None
        return render_python_code(operations, render_item=options["render_item"], migration_context=context)

    url = f"sqlite:///{tmp_path / 'scratch.db'}"
    await migrated(url, SCHEMA)
    async with opened(url) as database, database.reading() as connection:
        written = await connection.run_sync(downgrade)

    assert "sa.Column('created_at', sa.DateTime(timezone=True), nullable=False)" in written
    assert "DATETIME" not in written


async def test_a_schema_is_current_only_at_or_after_the_newest_revision(empty_database_url: str) -> None:
    async with opened(empty_database_url) as database:
        assert not await is_current(database, SCHEMA.versions)
        await migrated(empty_database_url, SCHEMA)
        assert await is_current(database, SCHEMA.versions)
        for revision, expected in (("0000", False), ("9999", True)):
            async with database.transaction() as session:
                await session.execute(
                    text("UPDATE alembic_version SET version_num = :revision"), {"revision": revision}
                )
            assert expected == await is_current(database, SCHEMA.versions)


async def test_stored_texts_are_brought_to_the_spelling_that_their_column_has_now(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On either database; what collides, or is accepted no more, stays and is named by its row."""
    monkeypatch.setattr("acme_service.chassis.database.migrations.canonical.ROWS_AT_ONCE", 2)
    shutil.copytree(SCHEMA.versions, tmp_path / "versions")
    nothing = 'revision = "0002"\ndown_revision = "0001"\n\n\ndef upgrade():\n    pass\n'
    (tmp_path / "versions" / "0002_nothing.py").write_text(nothing)
    codes = ["a", "B", "-A", "C", "c-", "--", "d"]
    async with opened(database_url) as database:
        async with database.transaction() as session:
            for number, code in enumerate(codes):
                values = {"id": f"{number}", "name": "", "code": code, "created_at": datetime.now(UTC)}
                await session.execute(insert(Item).values(values))
        with capture_logs() as lines:
            await migrated(database_url, replace(SCHEMA, versions=tmp_path / "versions"))
        async with database.reading() as connection:
            stored = (await connection.execute(select(Item.code).order_by(Item.id))).scalars().all()

    assert ["a", "b", "-A", "c", "c-", "--", "d"] == stored
    told = [(line["event"], line.get("row"), line.get("other"), line.get("rows")) for line in lines[:4]]
    collides = "stored value collides with another"
    assert [
        (collides, "2", "0", None),
        (collides, "4", "3", None),
        ("stored value is accepted no more", "5", None, None),
        ("stored values rewritten", None, None, 2),
    ] == told
    assert all(line["table"] == "items" and line["column"] == "code" for line in lines[:4])


async def test_a_newer_schema_is_left_alone(empty_database_url: str) -> None:
    await migrated(empty_database_url, SCHEMA)
    async with opened(empty_database_url) as database:
        async with database.transaction() as session:
            await session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        await migrated(empty_database_url, SCHEMA)

    assert "items" in await tables(empty_database_url)


async def test_a_failed_migration_leaves_nothing(empty_database_url: str) -> None:
    """What the revision makes is in the way, so that it fails after Alembic's own table was made."""
    async with opened(empty_database_url) as database:
        await database.start()
        async with database.transaction() as session:
            await session.execute(text("CREATE TABLE items (name TEXT)"))
    with pytest.raises(MigrationFailed, match="exists"):
        await migrated(empty_database_url, SCHEMA)

    assert {"items"} == await tables(empty_database_url)


async def test_concurrent_migrations_both_succeed(empty_database_url: str) -> None:
    """In processes of their own, as two replicas would."""
    program = (
        "import sys, pathlib, acme_service.chassis.database.migrations as m;"
        "sys.path.append(sys.argv[2]); m.migrate(sys.argv[1], m.Schema(sys.argv[3], pathlib.Path(sys.argv[4])))"
    )
    command = [sys.executable, "-c", program, empty_database_url, str(TESTS), SCHEMA.models]
    command.append(str(SCHEMA.versions))
    run = [asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60) for _ in range(2)]
    results = await asyncio.gather(*run)

    assert [0, 0] == [result.returncode for result in results], results[0].stderr + results[1].stderr
    assert 1 == sum("schema migrated" in result.stdout for result in results)


async def test_a_migration_that_gets_no_lock_says_so(empty_database_url: str) -> None:
    async with opened(empty_database_url) as database:
        await database.start()
        async with database.transaction() as session:
            if database.kind == "postgresql":
                await session.execute(text("SELECT pg_advisory_lock(:key)"), {"key": 0x6D6967726174})
            with pytest.raises(MigrationFailed, match="holds the lock"):
                await migrated(empty_database_url, SCHEMA, lock_timeout_seconds=0.2)

    assert "items" not in await tables(empty_database_url)


async def test_an_unreachable_database_is_told_in_one_sentence_without_its_password() -> None:
    with pytest.raises(MigrationFailed) as raised:
        await migrated("postgresql://someone:hunter2@127.0.0.1:1/nothing", SCHEMA)

    assert "postgresql://someone:***@127.0.0.1:1/nothing: Connection refused" == str(raised.value)


# A schema of a test's own, with revisions that it may add to.

REVISION = """
from alembic import op
import sqlalchemy as sa
revision = "0002"
down_revision = "0001"
def upgrade():
    op.execute("CREATE TABLE half (name TEXT)")
    {}
def downgrade():
    pass
"""


@pytest.fixture
def schema(tmp_path: Path) -> Schema:
    versions = tmp_path / "versions"
    shutil.copytree(SCHEMA.versions, versions, ignore=shutil.ignore_patterns("__pycache__"))
    return Schema(SCHEMA.models, versions)


def add(schema: Schema, statement: str) -> None:
    (schema.versions / "0002_fail.py").write_text(REVISION.format(statement))


FAILING = {
    "no_such_name": "0002_fail.py, line 8: NameError: name 'no_such_name' is not defined",
    "raise ValueError('two\\nlines')": "0002_fail.py, line 8: ValueError: two",
    "raise SystemExit(0)": "0002_fail.py, line 8: SystemExit: 0",
    "import no_such_module": "0002_fail.py, line 8: ModuleNotFoundError: No module named 'no_such_module'",
    "op.drop_table('missing')": "0002_fail.py, line 8: ",
    "op.execute(\"INSERT INTO notes VALUES ('secret', 'secret', 'secret', 'secret')\")": "0002_fail.py, line 8: ",
    "op.create_table('items', sa.Column('id', sa.Integer()))": "0002_fail.py, line 8: ",
}


@pytest.mark.parametrize("statement", FAILING, ids=lambda statement: statement[:12])
async def test_a_revision_that_fails_is_named_with_its_line_and_leaves_nothing(
    empty_database_url: str, schema: Schema, statement: str
) -> None:
    await migrated(empty_database_url, schema)
    add(schema, statement)
    with pytest.raises(MigrationFailed) as raised:
        await migrated(empty_database_url, schema)

    assert str(raised.value).startswith(FAILING[statement])
    assert "\n" not in str(raised.value)
    assert "half" not in await tables(empty_database_url)


async def test_revisions_out_of_line_are_migrated_by_nobody_and_extended_by_nobody(
    empty_database_url: str, schema: Schema
) -> None:
    add(schema, "pass")
    shutil.copy(schema.versions / "0002_fail.py", schema.versions / "0002_other.py")
    for work in (migrated(empty_database_url, schema), write(schema, "add more")):
        with pytest.raises(MigrationFailed, match=r"0002_fail.py and 0002_other.py .* as 0003_"):
            await work

    assert 3 == len(list(schema.versions.glob("*.py")))


async def test_an_empty_revision_is_written_only_when_asked_for(schema: Schema) -> None:
    assert not await write(schema, "nothing to do")
    assert ["0001"] == [path.name[:4] for path in schema.versions.glob("*.py")]

    assert await write(schema, 'fill in "phones" \\ of """all"""', empty=True)
    assert "0002" == newest_revision(schema.versions)


async def test_a_message_without_a_word_names_no_file(schema: Schema) -> None:
    with pytest.raises(MigrationFailed, match="what the migration does"):
        await write(schema, "!?", empty=True)


async def test_the_first_revision_is_written_into_an_empty_folder(tmp_path: Path) -> None:
    assert await write(Schema(SCHEMA.models, tmp_path), "create everything")
    assert "0001" == newest_revision(tmp_path)


async def test_what_models_have_and_the_schema_lacks_is_named(database_url: str) -> None:
    metadata = MetaData()
    Table("unknown", metadata, Column("id", Integer, primary_key=True))
    Table(
        "items",
        metadata,
        Column("id", String, primary_key=True),
        Column("name", String, nullable=True),
        Column("code", String),
        Column("phone", String, index=True, unique=True),
        Column("other", ForeignKey("unknown.id"), nullable=False),
        Index("ix_items_name_id", "name", "id"),
    )
    async with opened(database_url) as database:
        assert [
            "table unknown",
            "column items.name that is nullable",
            "column items.code that is nullable",
            "column items.phone",
            "column items.other",
            "removal of column items.created_at",
            "index ix_items_name_id",
            "index ix_items_phone",
            "foreign key of items on other",
        ] == await database.read(lambda connection: missing_of(connection, metadata))


async def test_models_that_the_schema_has_lack_nothing(database_url: str) -> None:
    metadata = metadata_of(SCHEMA.models)
    async with opened(database_url) as database:
        assert [] == await database.read(lambda connection: missing_of(connection, metadata))


# Enumerations.


async def test_an_enumeration_is_stored_by_its_values_and_its_migration_goes_both_ways(
    empty_database_url: str, tmp_path: Path
) -> None:
    schema = Schema("chassis.enum_models", tmp_path / "versions")
    schema.versions.mkdir()
    assert await write(schema, "create jobs")
    assert not await write(schema, "create jobs again")
    for revision in ("head", "base", "head"):
        await migrated(empty_database_url, schema, revision)

    async with opened(empty_database_url) as database:
        async with database.transaction() as session:
            session.add(Job(id="1", state=State.RUNNING_AGAIN, before=None, color=Color.RED, level=Level.LOW))
            await session.execute(insert(Job).values(id="2", before=State.WAITING, color="red", level=Level.LOW))
        stored = await database.fetch_all(text("SELECT state, before, color, level FROM jobs ORDER BY id"))
        read = await database.fetch_all(select(Job.state, Job.before, Job.color, Job.level).order_by(Job.id))
        waiting = await database.fetch_all(select(Job.id).where(Job.state == State.WAITING))
        with pytest.raises(exc.StatementError, match="not among the defined enum values"):
            await database.fetch_all(select(Job.id).where(Job.state == "lost"))

        assert [
            ("running again, after a failure", None, "red", "LOW"),
            ("waiting", "waiting", "red", "LOW"),
        ] == [tuple(row) for row in stored]
        assert [
            (State.RUNNING_AGAIN, None, Color.RED, Level.LOW),
            (State.WAITING, State.WAITING, Color.RED, Level.LOW),
        ] == [tuple(row) for row in read]
        assert [("2",)] == [tuple(row) for row in waiting]
        assert [] == await database.read(
            lambda connection: compare_metadata(
                MigrationContext.configure(connection, opts=comparison(connection, schema)), Job.metadata
            )
        )
