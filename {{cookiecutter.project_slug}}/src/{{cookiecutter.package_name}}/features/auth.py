"""Wires the feature `auth`: authenticated users, roles, and the commands of their first admin."""

from __future__ import annotations

import sys
from contextlib import aclosing
from typing import TYPE_CHECKING

from pydantic import SecretStr

from ..chassis import Command, Feature, Parts, exit_codes
from ..config.auth import HARDENED_DEFAULTS, AuthSettings

if TYPE_CHECKING:
    import argparse

    from ..chassis import Core


MISUSED = 2
"""As argparse ends a command line that it does not understand."""


def build(core: Core) -> Parts:
    """Build the objects of the feature, bottom up; nothing is opened yet."""
    from ..chassis.access import Administration
    from ..chassis.auth import BearerAuthorizer, SealedCache, Tokens, new_attempts
    from ..controllers.auth import AdminController, AuthController
    from ..models.auth import ADMINS
    from ..routes.auth import admin_routes, auth_routes
    from ..services.auth import Authentication, attempt_limits
    from ..services.auth_accounts import Accounts
    from ..services.auth_directory import Directory
    from ..services.auth_identities import UserIdentities
    from ..services.auth_sessions import Sessions
    from ..services.users import Users

    settings, name, users = core.settings.group(AuthSettings), core.service.name, core.get(Users)
    keys = settings.signing_keys()
    # What this process keeps for itself needs no seal.
    cache = SealedCache(core.cache, keys) if core.settings.redis.url else core.cache
    accounts, directory = Accounts(core.database, cache), Directory(core.database)
    users.watch(accounts)
    attempts = new_attempts(
        attempt_limits(
            by_account_and_address=settings.account_attempts_per_minute,
            by_address=settings.address_attempts_per_minute,
            requests=settings.requests_per_minute,
        ),
        redis_url=core.settings.redis.url,
        prefix=f"{name}:{core.settings.server.app_env}:attempts",
    )
    tokens = Tokens(
        keys,
        issuer=name,
        access_seconds=settings.jwt_expires_in_seconds,
        refresh_seconds=settings.jwt_refresh_expires_in_seconds,
    )
    authentication = Authentication(
        database=core.database,
        users=users,
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
        authorizer=BearerAuthorizer(authentication, hint="POST /api/auth/login returns one."),
        renewals=[attempts.renew],
        lifespan={"attempts": lambda: aclosing(attempts)},
        provides=[accounts, directory, UserIdentities(core.database, authentication), Administration(ADMINS)],
    )


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("email", help="of the user to create, or to promote")
    parser.add_argument("--promote", action="store_true", help="a user who is there already, and keeps the password")
    parser.add_argument("--name", default="Admin", help="of a user to create (default: Admin)")
    parser.add_argument("--role", choices=["admin", "superadmin"], default="superadmin", help="default: superadmin")


async def _create_admin(core: Core, options: argparse.Namespace) -> int:
    """Create a user with a password that is asked for; one who is there already is promoted only if that is wished.

    The one who registered first with an e-mail need not be its owner.
    """
    import structlog
    from pydantic import ValidationError

    from ..models.auth import AccountChanges, Role
    from ..models.user import UserCreate
    from ..services.auth_accounts import COMMAND_LINE, Accounts
    from ..services.auth_directory import Directory
    from ..services.users import Users

    user_id = await core.get(Directory).id_of(options.email)
    if (user_id is not None) != options.promote:
        found = "a user has this e-mail: with --promote, they become an admin"
        unknown = "no user has this e-mail: without --promote, one is created"
        sys.stderr.write(f"{found if user_id else unknown}\n")
        return MISUSED
    if user_id is None:
        try:
            new = UserCreate(name=options.name, email=options.email, password=_password())
        except ValidationError as error:
            for problem in error.errors(include_url=False, include_input=False):
                sys.stderr.write(f"{problem['loc'][0]}: {problem['msg']}\n")
            return MISUSED
        user_id = (await core.get(Users).create(new)).id
    role = Role(options.role)
    await core.get(Accounts).change(COMMAND_LINE, user_id, AccountChanges(role=role, active=True))
    structlog.get_logger("security").info("account is ready", user=user_id, role=role)
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
    settings=(AuthSettings,),
    hardened_defaults=HARDENED_DEFAULTS,
    commands=(
        Command(
            name="create-admin",
            purpose="make a user an admin or superadmin, such as the first one",
            arguments="ada@example.com --name 'Ada Lovelace'",
            configure=_configure,
            run=_create_admin,
        ),
    ),
)
