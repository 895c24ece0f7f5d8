"""The settings of the chassis, each declared once: its variable, kind, bounds, default and meaning."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from .environment import AppEnv
from .groups import SettingsGroup
from .secrets import DatabaseUrl, PostgresqlUrl, RedisUrl, SecretUrl, is_sqlite_url
from .values import HeaderNames, Hosts, Listener, LowerCase, Origins, Proxies, Switch


def _hardened(values: dict[str, Any]) -> bool:
    return AppEnv(values["app_env"]).hardened


class ServerSettings(SettingsGroup):
    """Where and how requests are served."""

    app_env: Annotated[AppEnv, LowerCase] = Field(
        default=AppEnv.DEVELOPMENT,
        validation_alias="APP_ENV",
        description="Where the service runs; staging is as strict as production. Selects the file .env.APP_ENV.",
    )
    host: Listener = Field(
        default="127.0.0.1",
        validation_alias="HOST",
        description="Address to listen on; 0.0.0.0 for all of them, as in a container, :: for those of IPv6 as well.",
    )
    port: int = Field(
        default=8000, ge=0, le=65535, validation_alias="PORT", description="Port to listen on; 0 takes a free one."
    )
    operations_port: int | None = Field(
        default=None,
        ge=0,
        le=65535,
        validation_alias="OPERATIONS_PORT",
        description="When set, health and metrics are served on this second port only; it closes last.",
    )
    drain_delay_seconds: float = Field(
        default_factory=lambda values: 5.0 if _hardened(values) else 0.0,
        ge=0,
        le=3600,
        validation_alias="DRAIN_DELAY_SECONDS",
        description="How long requests are still accepted after the signal to stop.",
    )
    shutdown_deadline_seconds: float = Field(
        default=10.0,
        gt=0,
        le=3600,
        validation_alias="SHUTDOWN_DEADLINE_SECONDS",
        description="How long requests in flight may take after the drain delay before they are cut off.",
    )
    keep_alive_seconds: float = Field(
        default=75.0,
        ge=1,
        le=7200,
        validation_alias="KEEP_ALIVE_SECONDS",
        description="How long an idle connection is kept; longer than the idle time of the proxy in front.",
    )
    request_timeout_seconds: float = Field(
        default=30.0,
        gt=0,
        le=3600,
        validation_alias="REQUEST_TIMEOUT_SECONDS",
        description="How long one request may take before it is rejected with 503; streams are exempt.",
    )
    unhandled_errors: Annotated[Literal["exit", "log"], LowerCase] = Field(
        default="exit",
        validation_alias="UNHANDLED_ERRORS",
        description="What an uncaught exception does in the main thread, a thread of the chassis or a task that starts "
        "with the service: exit drains and ends with code 70, log only logs and counts it.",
    )
    max_body_bytes: int = Field(
        default=1_048_576,
        ge=1,
        le=1_073_741_824,
        validation_alias="MAX_BODY_BYTES",
        description="Largest request body; a larger one is rejected with 413.",
    )
    max_json_values: int = Field(
        default=10_000,
        ge=1,
        le=1_000_000,
        validation_alias="MAX_JSON_VALUES",
        description="How many values and keys a JSON body may have; one with more is rejected with 413.",
    )
    max_json_depth: int = Field(
        default=32,
        ge=1,
        le=128,
        validation_alias="MAX_JSON_DEPTH",
        description="How many levels of lists and objects a JSON body may have; one with more is rejected with 413.",
    )
    max_concurrent_requests: int = Field(
        default=1000,
        ge=1,
        le=1_000_000,
        validation_alias="MAX_CONCURRENT_REQUESTS",
        description="How many requests may wait for their response at a time; one more is rejected with 503 at once.",
    )
    max_streams: int = Field(
        default=5000,
        ge=1,
        le=1_000_000,
        validation_alias="MAX_STREAMS",
        description="How many websockets, streams and long polls may be open at a time; one more is rejected with 503.",
    )
    max_header_bytes: int = Field(
        default=32_768,
        ge=1024,
        le=1_048_576,
        validation_alias="MAX_HEADER_BYTES",
        description="Largest head of a request; a larger one is rejected with 431.",
    )
    websocket_max_bytes: int = Field(
        default=65_536,
        ge=1024,
        le=16_777_216,
        validation_alias="WEBSOCKET_MAX_BYTES",
        description="Largest message that a websocket's client may send; a larger one closes the websocket with 1009.",
    )
    max_connections_per_address: int = Field(
        default=0,
        ge=0,
        le=1_000_000,
        validation_alias="MAX_CONNECTIONS_PER_ADDRESS",
        description="How many connections one address may have open, the proxy's own behind a proxy; 0 for no limit.",
    )
    rate_limit_per_minute: int = Field(
        default=0,
        ge=0,
        le=1_000_000,
        validation_alias="RATE_LIMIT_PER_MINUTE",
        description="How many requests one client may make in a minute before it is rejected with 429; 0 for no limit.",
    )
    allowed_hosts: Hosts = Field(
        default=(),
        validate_default=True,
        validation_alias="ALLOWED_HOSTS",
        description="Host headers that are accepted; unset means all.",
    )
    cors_origins: Origins = Field(
        default=(),
        validation_alias="CORS_ORIGINS",
        description="Origins whose web pages may read the responses; unset means none but the service's own.",
    )
    cors_allow_headers: HeaderNames = Field(
        default=(),
        validation_alias="CORS_ALLOW_HEADERS",
        description="Headers that web pages of CORS_ORIGINS may send besides those that the service itself reads.",
    )
    trusted_proxies: Proxies = Field(
        default=(),
        validation_alias="TRUSTED_PROXIES",
        description="Proxies whose X-Forwarded-* headers are believed; unset means none.",
    )
    docs_enabled: Switch = Field(
        default_factory=lambda values: not _hardened(values),
        validation_alias="DOCS_ENABLED",
        description="Whether /docs and /openapi.json are served; true is rejected in staging and production.",
    )
    debug: Switch = Field(
        default_factory=lambda values: values["app_env"] is AppEnv.DEVELOPMENT,
        validation_alias="DEBUG",
        description="Whether errors show their cause; true is rejected in staging and production.",
    )

    @field_validator("operations_port")
    @classmethod
    def _differs_from_port(cls, value: int | None, info: ValidationInfo) -> int | None:
        if value and value == info.data.get("port"):
            raise ValueError(f"{value} is PORT already")
        return value


class DatabaseSettings(SettingsGroup):
    """Which database, and how many connections for how long."""

    url: DatabaseUrl = Field(
        validation_alias="DATABASE_URL",
        description="Address of the database.",
    )
    direct_url: PostgresqlUrl | None = Field(
        default=None,
        validation_alias="DATABASE_DIRECT_URL",
        description="Set it where DATABASE_URL is that of PgBouncer in transaction mode, to the address of the server "
        "itself, which migrations use.",
    )
    pool_size: int = Field(
        default=10,
        ge=1,
        le=1000,
        validation_alias="DB_POOL_SIZE",
        description="Connections that are kept open.",
    )
    max_overflow: int = Field(
        default=10,
        ge=0,
        le=1000,
        validation_alias="DB_MAX_OVERFLOW",
        description="Connections beyond DB_POOL_SIZE that a burst may open.",
    )
    pool_timeout_seconds: float = Field(
        default=3.0,
        gt=0,
        le=300,
        validation_alias="DB_POOL_TIMEOUT_SECONDS",
        description="How long a request waits for a free connection before it is rejected with 503.",
    )
    pool_recycle_seconds: float = Field(
        default=1800.0,
        gt=0,
        le=86_400,
        validation_alias="DB_POOL_RECYCLE_SECONDS",
        description="How long a connection to PostgreSQL is used before it is replaced.",
    )
    connect_timeout_seconds: float = Field(
        default=3.0,
        gt=0,
        le=300,
        validation_alias="DB_CONNECT_TIMEOUT_SECONDS",
        description="How long a new connection to PostgreSQL may take, on each host of the address.",
    )
    statement_timeout_seconds: float = Field(
        default=10.0,
        gt=0,
        le=3600,
        validation_alias="DB_STATEMENT_TIMEOUT_SECONDS",
        description="How long one statement may run.",
    )

    @field_validator("direct_url")
    @classmethod
    def _belongs_to_postgresql(cls, value: SecretUrl | None, info: ValidationInfo) -> SecretUrl | None:
        if value and "url" in info.data and is_sqlite_url(info.data["url"]):
            raise ValueError("it contradicts DATABASE_URL, which is SQLite: migrations would run in another database")
        return value

    @property
    def migrations_url(self) -> str:
        """Where a session lasts longer than a transaction, as the lock of a migration must."""
        return (self.direct_url or self.url).get_secret_value()

    def warnings(self, app_env: AppEnv) -> Iterator[str]:
        if app_env.hardened and is_sqlite_url(self.url):
            yield (
                f"DATABASE_URL: SQLite in {app_env} keeps everything on the disk of one machine; "
                "a second replica would not see it"
            )


class RedisSettings(SettingsGroup):
    """The server that several processes of this service share."""

    url: RedisUrl | None = Field(
        default=None,
        validation_alias="REDIS_URL",
        description="Address of the shared cache; unset means one in each process.",
    )
    cache_entries: int = Field(
        default=10_000,
        ge=1,
        le=10_000_000,
        validation_alias="CACHE_ENTRIES",
        description="How many values a process keeps while REDIS_URL is unset; the least recently used leave first.",
    )


class LoggingSettings(SettingsGroup):
    """What is logged, in which form, and where to besides standard output."""

    level: Annotated[Literal["debug", "info", "warning", "error", "critical"], LowerCase] = Field(
        default="info", validation_alias="LOG_LEVEL", description="The least important level that is written."
    )
    format: Annotated[Literal["json", "console"], LowerCase] | None = Field(
        default=None,
        validation_alias="LOG_FORMAT",
        description="Unset means json, except on a terminal in development.",
    )
    file: Path | None = Field(
        default=None,
        validation_alias="LOG_FILE",
        description="A file for the same lines, rotated at 50 MB, five kept; FILE.error holds the errors alone.",
    )
