"""Settings from the environment: read once, checked together, and printed without a secret.

Nothing is read at import: `load_settings` is given the environment and the directory of the `.env` files.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from .core import DatabaseSettings, LoggingSettings, RedisSettings, ServerSettings
from .environment import DEFAULT, Given, read_environment
from .groups import G, SettingsError, SettingsGroup, read_group, variables
from .secrets import SecretUrl, weakness

CHASSIS_GROUPS: tuple[type[SettingsGroup], ...] = (ServerSettings, DatabaseSettings, RedisSettings, LoggingSettings)

OTHER_NAMES = {
    "REDIS_HOST": "REDIS_URL",
    "REDIS_PASSWORD": "REDIS_URL",
    "CLIENT_URL": "CORS_ORIGINS",
}
"""What other services call a setting, which a `.env` that came from one of them may hold."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the operator decided, checked; `warnings` says what is allowed and probably not meant."""

    groups: tuple[SettingsGroup, ...]
    warnings: tuple[str, ...] = ()

    def group(self, kind: type[G]) -> G:
        """The settings that *kind* declares; raises KeyError if the service does not list it."""
        for group in self.groups:
            if type(group) is kind:
                return group
        raise KeyError(f"{kind.__name__} is not among the groups that the service or its features list")

    @property
    def server(self) -> ServerSettings:
        return self.group(ServerSettings)

    @property
    def database(self) -> DatabaseSettings:
        return self.group(DatabaseSettings)

    @property
    def redis(self) -> RedisSettings:
        return self.group(RedisSettings)

    @property
    def logging(self) -> LoggingSettings:
        return self.group(LoggingSettings)


def service_defaults(service: str) -> dict[str, str]:
    """The defaults of development and test that depend on the *service*'s name, by variable."""
    return {"DATABASE_URL": f"sqlite:///./data/{service}.db"}


def load_settings(
    environ: Mapping[str, str],
    directory: Path,
    groups: Iterable[type[SettingsGroup]] = CHASSIS_GROUPS,
    *,
    defaults: Mapping[str, str] | None = None,
    hardened_defaults: Mapping[str, str] | None = None,
) -> Settings:
    """Read every group from *environ*, `.env.{APP_ENV}` and `.env` in *directory*; the first that has a name wins.

    Where nothing is given, *defaults* apply, by variable, in development and test, and *hardened_defaults* in staging
    and production: what is stored must not depend on the folder that a process was started in. Raises SettingsError
    with all problems of all groups at once, and TypeError if a group of the chassis is not in *groups*.
    """
    groups = tuple(groups)
    if missing := [group.__name__ for group in CHASSIS_GROUPS if group not in groups]:
        raise TypeError(f"the settings groups of the service lack {', '.join(missing)}, which the chassis reads")
    known = [variable for group in groups for variable in variables(group)]
    environment = read_environment(
        environ,
        directory,
        names=frozenset(variable.name for variable in known),
        secrets=frozenset(variable.name for variable in known if variable.secret),
        other_names=_other_names({variable.name for variable in known}),
    )
    unsaid = hardened_defaults if environment.app_env.hardened else defaults
    for name, text in (unsaid or {}).items():
        environment.values.setdefault(name, Given(text, DEFAULT))
    read = tuple(built for group in groups if (built := read_group(group, environment)) is not None)
    if environment.problems:
        raise SettingsError(environment.problems, environment.warnings)
    settings = Settings(read)
    warnings = (warning for group in read for warning in group.warnings(settings.server.app_env))
    return Settings(read, (*environment.warnings, *warnings))


def _other_names(known: set[str]) -> dict[str, str]:
    """What each of *known* may be called by mistake: as other services do, or without its unit."""
    without_unit = {name.removesuffix(unit): name for unit in ("_SECONDS", "_BYTES") for name in known}
    others = {**OTHER_NAMES, **without_unit}
    return {name: meant for name, meant in others.items() if meant in known and name not in known}


def masked_lines(settings: Settings) -> list[str]:
    """NAME=value for every variable, without any secret; an unset one has no value."""
    return [f"{name}={text_of(value)}" for name, value in _values(settings)]


def secret_values(settings: Settings) -> Iterator[str]:
    """Yield what must never be logged; a sample password, as in development, is an ordinary word and no secret."""
    for _, value in _values(settings):
        if isinstance(value, SecretStr):
            secrets = value.passwords() if isinstance(value, SecretUrl) else [value.get_secret_value()]
            yield from (secret for secret in secrets if weakness(secret, least=6) is None)


def _values(settings: Settings) -> Iterator[tuple[str, object]]:
    for group in settings.groups:
        for variable in variables(type(group)):
            yield variable.name, getattr(group, variable.attribute)


def text_of(value: object) -> str:
    """*value* as it is written in a `.env` file, or `***`."""
    if value is None:
        return ""
    if isinstance(value, SecretUrl):
        return value.masked()
    if isinstance(value, SecretStr):
        return "***"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(value)
    return str(value).removesuffix(".0") if isinstance(value, float) else str(value)
