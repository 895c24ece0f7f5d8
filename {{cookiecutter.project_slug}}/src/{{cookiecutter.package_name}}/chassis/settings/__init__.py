"""Settings: groups of variables, the kinds of value that they hold, and the groups of the chassis itself."""

from __future__ import annotations

from .core import DatabaseSettings, LoggingSettings, RedisSettings, ServerSettings
from .environment import AppEnv
from .groups import SettingsError, SettingsGroup
from .keys import SigningKey
from .loading import CHASSIS_GROUPS, Settings, load_settings, masked_lines, secret_values, service_defaults
from .secrets import DatabaseUrl, RedisUrl, SecretUrl, weakness
from .values import Accepts, Generated, Hosts, Insecure, Listener, LowerCase, Origins, Proxies, Switch, environment_of

__all__ = [
    "CHASSIS_GROUPS",
    "Accepts",
    "AppEnv",
    "DatabaseSettings",
    "DatabaseUrl",
    "Generated",
    "Hosts",
    "Insecure",
    "Listener",
    "LoggingSettings",
    "LowerCase",
    "Origins",
    "Proxies",
    "RedisSettings",
    "RedisUrl",
    "SecretUrl",
    "ServerSettings",
    "Settings",
    "SettingsError",
    "SettingsGroup",
    "SigningKey",
    "Switch",
    "environment_of",
    "load_settings",
    "masked_lines",
    "secret_values",
    "service_defaults",
    "weakness",
]
