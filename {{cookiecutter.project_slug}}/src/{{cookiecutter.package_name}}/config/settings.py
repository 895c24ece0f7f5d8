"""The settings of this service: the groups of the chassis, and its own."""

from __future__ import annotations

from pydantic import Field

from ..chassis.settings import DatabaseSettings, LoggingSettings, RedisSettings, ServerSettings, SettingsGroup


class UserSettings(SettingsGroup):
    """Settings of the users."""

    cache_seconds: float = Field(
        default=60.0,
        gt=0,
        le=60,
        validation_alias="USER_CACHE_SECONDS",
        description="How long a user that was read may be served from the cache.",
    )


GROUPS: tuple[type[SettingsGroup], ...] = (
    ServerSettings,
    DatabaseSettings,
    RedisSettings,
    LoggingSettings,
    UserSettings,
)
