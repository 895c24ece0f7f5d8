"""The command line: reads the environment once, configures the process, and runs one command.

What a command needs is imported when it runs, so that `healthcheck` does not pay for the server.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from . import exit_codes
from .startup import open_standard_streams, report_failed_import

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from .service import Service
    from .settings import Settings

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 - it has no public name


def run(service: Service | str, arguments: Sequence[str] | None = None) -> int:
    """Run the command that *arguments* name, and return the process's exit code.

    *service* may be the name of the module that holds it as `SERVICE`, which is imported here, so that a failing
    import is reported as any other failure of the start.
    """
    open_standard_streams()
    try:
        from .settings import SettingsError

        if isinstance(service, str):
            service = _imported(service)
        parser = _parser(service)
    except Exception as error:  # noqa: BLE001 - whatever a module raises, there is no service
        return report_failed_import(error)
    options = parser.parse_args(arguments)
    if document := getattr(options, "document", None):
        from .commands import write_documents

        return write_documents(service, document)
    try:
        settings = read_settings(service, os.environ, Path.cwd())
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return exit_codes.BAD_SETTINGS
    except Exception as error:  # noqa: BLE001 - as above: a group of settings that its owner has to mend
        return report_failed_import(error)
    command: Callable[[Service, Settings, argparse.Namespace], int] = options.command
    return command(service, settings, options)


def read_settings(service: Service, environ: Mapping[str, str], directory: Path) -> Settings:
    """The settings of *service* and its features; raises SettingsError."""
    from .settings import load_settings, service_defaults

    groups = [*service.settings, *(group for feature in service.features for group in feature.settings)]
    hardened = {name: text for feature in service.features for name, text in feature.hardened_defaults.items()}
    return load_settings(
        environ, directory, groups, defaults=service_defaults(service.name), hardened_defaults=hardened
    )


def _imported(module: str) -> Service:
    service: Service = importlib.import_module(module).SERVICE
    return service


def _parser(service: Service) -> argparse.ArgumentParser:
    from . import commands as chassis_commands
    from .errors import ConfigurationError

    name = service.name
    parser = argparse.ArgumentParser(
        prog=name,
        description="Run and keep the service. Settings come from the environment, .env.{APP_ENV} and .env.",
        epilog="exit codes: 0 clean, 3 start-up failed, 70 a critical task died, 75 the shutdown deadline cut work "
        "off, 78 settings are missing, malformed or insecure, 128+n forced by signal n",
    )
    parser.add_argument("--version", action="version", version=f"{name} {service.version}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add(commands, "serve", chassis_commands.serve, "serve requests until a signal comes", f"PORT=8080 {name} serve")
    _add(commands, "migrate", chassis_commands.migrate, "bring the database's schema up to date", f"{name} migrate")
    revision = _add(
        commands,
        "makemigration",
        chassis_commands.makemigration,
        "write the next migration from the models",
        f'{name} makemigration "create orders"',
    )
    revision.add_argument("message", nargs="?", default="", help="what the migration does")
    revision.add_argument("--check", action="store_true", help="write nothing: name what has no migration, and exit 1")
    revision.add_argument("--empty", action="store_true", help="write it also where the models ask for nothing")
    config = _add(
        commands, "config", chassis_commands.config, "print the settings, secrets masked", f"{name} config --check"
    )
    what = config.add_mutually_exclusive_group()
    what.add_argument("--check", action="store_true", help="only validate: print nothing, exit 0 or 78")
    for option, purpose in (
        ("example", "print a complete .env.example, which names every setting with its default"),
        ("markdown", "print the tables of docs/configuration.md"),
        ("write", "write both into .env.example and docs/configuration.md, as `make documents` does"),
    ):
        what.add_argument(f"--{option}", dest="document", action="store_const", const=option, help=purpose)
    _add(
        commands,
        "routes",
        chassis_commands.routes,
        "list every route and its access policy",
        f"{name} routes | grep users",
    )
    _add(
        commands,
        "healthcheck",
        chassis_commands.healthcheck,
        "ask the running service if it lives",
        f"{name} healthcheck",
    )
    groups: dict[str, Commands] = {}
    for feature, command in ((each, command) for each in service.features for command in each.commands):
        group, _, last = command.name.rpartition(" ")
        among = _group(groups, commands, group) if group else commands
        if last in among.choices:
            raise ConfigurationError(
                f"the command {command.name!r} of the feature {feature.name!r} is there: rename it"
            )
        example = f"{name} {command.name} {command.arguments}".rstrip()
        run_it = partial(chassis_commands.run_of_feature, command)
        command.configure(_add(among, last, run_it, command.purpose, example))
    return parser


def _group(groups: dict[str, Commands], commands: Commands, name: str) -> Commands:
    """Those that begin with the word *name*, such as `users import`."""
    from .errors import ConfigurationError

    if name not in groups:
        if name in commands.choices:
            raise ConfigurationError(f"{name!r} is a command and cannot be the first word of others: rename one")
        parser = commands.add_parser(name, help=f"commands of {name}: {name} --help lists them")
        groups[name] = parser.add_subparsers(required=True, metavar="COMMAND")
    return groups[name]


def _add(
    commands: Commands,
    name: str,
    command: Callable[[Service, Settings, argparse.Namespace], int],
    purpose: str,
    example: str,
) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name, help=purpose, description=f"{purpose.capitalize()}.", epilog=f"example: {example}"
    )
    parser.set_defaults(command=command)
    return parser
