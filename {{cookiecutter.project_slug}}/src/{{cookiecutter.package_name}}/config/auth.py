"""Settings of the feature `auth`: the key of its tokens, how long they live, and how often one may try."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Annotated

from pydantic import Field, SecretStr

from ..chassis.settings import AppEnv, Generated, SettingsGroup, SigningKey

HARDENED_DEFAULTS = {"RATE_LIMIT_PER_MINUTE": "1200"}


class AuthSettings(SettingsGroup):
    """How callers prove who they are."""

    jwt_secret: Annotated[SigningKey, Generated(byte_count=48)] = Field(
        default=None,
        validate_default=True,
        validation_alias="JWT_SECRET",
        description="Signs the tokens; unset means a random one for each start.",
    )
    jwt_secret_previous: SigningKey = Field(
        default=None,
        validation_alias="JWT_SECRET_PREVIOUS",
        description="The JWT_SECRET before the present one, still accepted: set it while you replace the key, so that "
        "no session ends.",
    )
    jwt_expires_in_seconds: int = Field(
        default=900,
        ge=1,
        le=86_400,
        validation_alias="JWT_EXPIRES_IN_SECONDS",
        description="How long an access token lives.",
    )
    jwt_refresh_expires_in_seconds: int = Field(
        default=2_592_000,
        ge=1,
        le=31_536_000,
        validation_alias="JWT_REFRESH_EXPIRES_IN_SECONDS",
        description="How long a refresh token lives, and with it a session that is not used.",
    )
    account_attempts_per_minute: int = Field(
        default=5,
        ge=1,
        le=10_000,
        validation_alias="AUTH_ACCOUNT_ATTEMPTS_PER_MINUTE",
        description="How often one address may give a wrong password for one account in a minute; all addresses "
        "together have ten times that limit.",
    )
    address_attempts_per_minute: int = Field(
        default=30,
        ge=1,
        le=100_000,
        validation_alias="AUTH_ADDRESS_ATTEMPTS_PER_MINUTE",
        description="How often one address may give a wrong password or register a taken e-mail in a minute, for any "
        "account.",
    )
    requests_per_minute: int = Field(
        default=120,
        ge=1,
        le=1_000_000,
        validation_alias="AUTH_REQUESTS_PER_MINUTE",
        description="How often one address may log in, register, refresh or change a password in a minute, right or "
        "wrong.",
    )

    def signing_keys(self) -> tuple[str, ...]:
        """Every accepted key; the first one signs. A random one where none is set."""
        signing = self.jwt_secret or SecretStr(secrets.token_urlsafe(48))
        return tuple(key.get_secret_value() for key in (signing, self.jwt_secret_previous) if key)

    def warnings(self, app_env: AppEnv) -> Iterator[str]:  # noqa: ARG002 - the same in each
        if self.jwt_secret is None:
            yield "JWT_SECRET: not set, so a random one is used and every restart ends all sessions"
