"""Wires the feature `csv_import`: files of users over HTTP, imported by jobs, and from the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..chassis import Command, Feature, Parts
from ..chassis.csv_import import configure_import
from ..config.csv_import import ImportSettings

if TYPE_CHECKING:
    import argparse

    from ..chassis import Core


def build(core: Core) -> Parts:
    """Build the objects of the feature, bottom up; nothing is opened yet."""
    from ..chassis.access import PUBLIC, Administration
    from ..chassis.csv_import import Imports, ImportsController, ImportTables
    from ..chassis.jobs import Jobs
    from ..models.csv_import import Import, ImportChunk, ImportReject
    from ..models.jobs import JobRow
    from ..routes.csv_import import import_routes
    from ..services.csv_import import user_target
    from ..services.users import Users

    tables = ImportTables(imports=Import, rejects=ImportReject, chunks=ImportChunk, jobs=JobRow)
    imports = Imports(core, core.get(Jobs), tables, user_target(core.get(Users)))
    administration, max_bytes = core.find(Administration), core.settings.group(ImportSettings).max_bytes
    admins = PUBLIC if administration is None else administration.policy
    return Parts(
        routes=import_routes(ImportsController(imports), admins=admins, max_bytes=max_bytes),
        tasks={"uploads": core.tasks.every(600, imports.tidy)},
        provides=[imports],
    )


async def _import_users(core: Core, options: argparse.Namespace) -> int:
    from ..chassis.csv_import import Imports, run_import

    return await run_import(core.get(Imports), options)


CSV_IMPORT = Feature(
    name="csv_import",
    build=build,
    settings=(ImportSettings,),
    commands=(
        Command(
            name="users import",
            purpose="import users from a CSV file",
            arguments="users.csv --rejects rejects.csv",
            configure=configure_import,
            run=_import_users,
        ),
    ),
)
