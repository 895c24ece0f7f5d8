"""Wires the feature `auth`: known callers, roles, and the commands of their first admin."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from pydantic import SecretStr

from .. import SERVICE_NAME
from ..chassis import exit_codes
from ..config.auth import HARDENED_DEFAULTS, AuthSettings
from ..chassis.service import Command, Core, Feature, Parts

if TYPE_CHECKING:
    import argparse

    from ..chassis.settings.core import Settings
    from ..chassis.auth.attempts import Attempts


MISUSED = 2
"""As argparse ends a command line that it does not understand."""


def build(core: Core) -> Parts:
    """Everything that the feature adds; nothing is asked of the network yet."""
    from ..controllers.auth import AdminController, AuthController
    from ..chassis.auth.authorizer import BearerGate
    from ..routes.auth import admin_routes, auth_routes
    from ..services.auth import Authentication
    from ..services.auth_accounts import Accounts
    from ..services.auth_directory import Directory
    from ..services.auth_sessions import Sessions
    from ..chassis.auth.tokens import Tokens

    settings = core.settings.feature(AuthSettings)
    accounts, directory = Accounts(core.database, core.cache), Directory(core.database)
    core.users.watch(accounts)
    attempts = _attempts(core.settings, settings)
    tokens = Tokens(
        settings.signing_keys(),
        access_seconds=settings.jwt_expires_in_seconds,
        refresh_seconds=settings.jwt_refresh_expires_in_seconds,
    )
    authentication = Authentication(
        database=core.database,
        users=core.users,
        accounts=accounts,
        passwords=core.passwords,
        tokens=tokens,
        sessions=Sessions(core.database, accounts, tokens),
        attempts=attempts,
    )
    return Parts(
        routes=[
            *auth_routes(AuthController(authentication, directory)),
            *admin_routes(AdminController(accounts, directory)),
        ],
        gate=BearerGate(authentication),
        closing={"attempts": attempts.close},
    )


def _attempts(settings: Settings, auth: AuthSettings) -> Attempts:
    from ..services.auth import attempt_limits
    from ..chassis.auth.attempts import MemoryAttempts

    limits = attempt_limits(
        by_account_and_address=auth.account_attempts_per_minute, by_address=auth.address_attempts_per_minute
    )
    if settings.redis.url is None:
        return MemoryAttempts(limits)
    from ..chassis.auth.redis_attempts import RedisAttempts

    return RedisAttempts(settings.redis.url.get_secret_value(), prefix=f"{SERVICE_NAME}:attempts", limits=limits)


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("email", help="of the user to create, or to promote")
    parser.add_argument("--promote", action="store_true", help="a user who is there already, and keeps the password")
    parser.add_argument("--name", default="Admin", help="of a user to create (default: Admin)")
    parser.add_argument("--role", choices=["admin", "superadmin"], default="superadmin", help="default: superadmin")


async def _create_admin(core: Core, options: argparse.Namespace) -> int:
    """Create a user with a password that is asked for; one who is there already is promoted only if that is wished.

    Whoever registered first with an e-mail need not be its owner.
    """
    import structlog
    from pydantic import ValidationError

    from ..models.auth import AccountChanges, Role
    from ..models.user import UserCreate
    from ..services.auth_accounts import COMMAND_LINE, Accounts
    from ..services.auth_directory import Directory

    user_id = await Directory(core.database).id_of(options.email)
    if (user_id is not None) != options.promote:
        somebody = "a user has this e-mail: with --promote, they become an admin"
        nobody = "no user has this e-mail: without --promote, one is created"
        sys.stderr.write(f"{somebody if user_id else nobody}\n")
        return MISUSED
    if user_id is None:
        try:
            new = UserCreate(name=options.name, email=options.email, password=_password())
        except ValidationError as error:
            for problem in error.errors(include_url=False, include_input=False):
                sys.stderr.write(f"{problem['loc'][0]}: {problem['msg']}\n")
            return MISUSED
        user_id = (await core.users.create(new)).id
    role = Role(options.role)
    await Accounts(core.database, core.cache).change(COMMAND_LINE, user_id, AccountChanges(role=role, active=True))
    structlog.get_logger(__name__).info("account is ready", user=user_id, role=role)
    return exit_codes.CLEAN


def _password() -> SecretStr:
    """From the terminal without an echo, or a line of standard input."""
    from getpass import getpass

    if sys.stdin.isatty():
        return SecretStr(getpass("Password: "))
    return SecretStr(sys.stdin.readline().rstrip("\n"))


AUTH = Feature(
    name="auth",
    build=build,
    settings=AuthSettings,
    hardened_defaults=HARDENED_DEFAULTS,
    commands=(
        Command(
            name="create-admin",
            purpose="make somebody an admin, such as the first one",
            arguments="ada@example.com --name 'Ada Lovelace'",
            configure=_configure,
            run=_create_admin,
        ),
    ),
)
