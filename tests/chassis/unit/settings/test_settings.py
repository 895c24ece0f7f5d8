"""What each setting accepts, what it rejects and in which words."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, PositiveInt, SecretStr, StringConstraints, ValidationError, create_model

from acme_service.chassis.settings import ServerSettings, Settings, SettingsError, masked_lines, secret_values
from acme_service.chassis.settings.groups import SettingsGroup, variables
from acme_service.chassis.settings.values import Accepts

from ...environment import load_settings

NOWHERE = Path("/there-is-no-such-directory")
SAFE = {
    "APP_ENV": "production",
    "ALLOWED_HOSTS": "api.example.com",
    "DATABASE_URL": "postgresql://service:correct-horse-battery@db.internal/service",
}


def settings(**environ: str) -> Settings:
    return load_settings(environ, NOWHERE)


def rejected(**environ: str) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load_settings(environ, NOWHERE)
    return str(caught.value).splitlines()


@pytest.mark.parametrize("app_env", ["staging", "production"])
def test_no_database_is_chosen_for_an_operator(app_env: str) -> None:
    """The default depends on the folder that the process is started in."""
    given = {name: value for name, value in SAFE.items() if name != "DATABASE_URL"}
    (line,) = rejected(**given | {"APP_ENV": app_env})

    assert line.startswith("DATABASE_URL: missing; expected sqlite:///PATH")
    settings(**given | {"APP_ENV": app_env, "DATABASE_URL": "sqlite:////var/lib/service/service.db"})


def test_nothing_needs_to_be_set_in_development() -> None:
    defaults = settings()

    assert ("development", "127.0.0.1", 8000, None) == (
        defaults.server.app_env,
        defaults.server.host,
        defaults.server.port,
        defaults.server.operations_port,
    )
    assert () == defaults.warnings


@pytest.mark.parametrize(
    ("app_env", "drain_delay_seconds", "docs_enabled", "debug"),
    [
        ("development", 0.0, True, True),
        ("test", 0.0, True, False),
        ("staging", 5.0, False, False),
        ("production", 5.0, False, False),
    ],
)
def test_the_environment_decides_some_defaults(
    app_env: str, drain_delay_seconds: float, *, docs_enabled: bool, debug: bool
) -> None:
    server = settings(**SAFE | {"APP_ENV": app_env}).server

    assert (drain_delay_seconds, docs_enabled, debug) == (
        server.drain_delay_seconds,
        server.docs_enabled,
        server.debug,
    )
    assert server == ServerSettings(app_env=server.app_env, allowed_hosts=("api.example.com",))


def test_production_is_accepted_when_it_is_configured() -> None:
    assert () == settings(**SAFE).warnings


def test_all_problems_of_all_groups_come_at_once() -> None:
    lines = rejected(
        APP_ENV="production",
        PORT="http",
        SHUTDOWN_DEADLINE_SECONDS="nan",
        CORS_ORIGINS="*",
        DEBUG="true",
        DATABASE_URL="postgresql://service:changeme@db/x",
        DB_POOL_SIZE="0",
        REDIS_URL="localhost:6379",
        LOG_LEVEL="loud",
        LOG_FORMAT="xml",
    )

    assert [
        "PORT",
        "SHUTDOWN_DEADLINE_SECONDS",
        "ALLOWED_HOSTS",
        "CORS_ORIGINS",
        "DEBUG",
        "DATABASE_URL",
        "DB_POOL_SIZE",
        "REDIS_URL",
        "LOG_LEVEL",
        "LOG_FORMAT",
    ] == [line.partition(":")[0] for line in lines]


@pytest.mark.parametrize("variable", ["PORT", "OPERATIONS_PORT"])
@pytest.mark.parametrize("value", ["-1", "65536", "80.5", "http", "1e3", "0x50", "nan"])
def test_a_port_is_a_whole_number_up_to_65535(variable: str, value: str) -> None:
    assert [f"{variable}: expected a whole number from 0 to 65535, got {value!r} (from environment)"] == rejected(
        **{variable: value}
    )


@pytest.mark.parametrize("port", ["0", "1", "65535", " 8080 "])
def test_the_ends_of_the_range_of_ports_are_ports(port: str) -> None:
    assert int(port) == settings(PORT=port).server.port


def test_the_second_port_differs_from_the_first_unless_the_system_chooses_both() -> None:
    assert [
        "OPERATIONS_PORT: 9000 is PORT already; expected a whole number from 0 to 65535 (from environment)"
    ] == rejected(PORT="9000", OPERATIONS_PORT="9000")
    assert settings(PORT="0", OPERATIONS_PORT="0").server.operations_port == 0


SECONDS = {
    "DRAIN_DELAY_SECONDS": "a number of seconds from 0 to 3600",
    "SHUTDOWN_DEADLINE_SECONDS": "a number of seconds above 0 and up to 3600",
    "REQUEST_TIMEOUT_SECONDS": "a number of seconds above 0 and up to 3600",
    "DB_POOL_TIMEOUT_SECONDS": "a number of seconds above 0 and up to 300",
    "DB_STATEMENT_TIMEOUT_SECONDS": "a number of seconds above 0 and up to 3600",
}


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "-0.1", "3601", "1e308", "soon", "1s"])
@pytest.mark.parametrize("variable", SECONDS)
def test_a_time_is_finite_and_bounded(variable: str, value: str) -> None:
    assert [f"{variable}: expected {SECONDS[variable]}, got {value!r} (from environment)"] == rejected(
        **{variable: value}
    )


@pytest.mark.parametrize("variable", [name for name, accepted in SECONDS.items() if "above 0" in accepted])
def test_a_limit_of_no_time_is_rejected(variable: str) -> None:
    assert [f"{variable}: expected {SECONDS[variable]}, got '0' (from environment)"] == rejected(**{variable: "0"})


def test_a_time_may_be_a_fraction() -> None:
    server = settings(DRAIN_DELAY_SECONDS="0.25", SHUTDOWN_DEADLINE_SECONDS="1.5").server

    assert (0.25, 1.5) == (server.drain_delay_seconds, server.shutdown_deadline_seconds)


@pytest.mark.parametrize(
    ("variable", "value", "accepted"),
    [
        ("MAX_BODY_BYTES", "0", "a whole number of bytes from 1 to 1073741824"),
        ("MAX_BODY_BYTES", "1MB", "a whole number of bytes from 1 to 1073741824"),
        ("MAX_HEADER_BYTES", "1023", "a whole number of bytes from 1024 to 1048576"),
        ("WEBSOCKET_MAX_BYTES", "1023", "a whole number of bytes from 1024 to 16777216"),
        ("DB_POOL_SIZE", "0", "a whole number from 1 to 1000"),
        ("DB_MAX_OVERFLOW", "-1", "a whole number from 0 to 1000"),
        ("DB_POOL_SIZE", "9" * 5000, "a whole number from 1 to 1000"),
        ("DOCS_ENABLED", "maybe", "true or false"),
        ("DEBUG", "2", "true or false"),
        ("APP_ENV", "local", "one of development, test, staging, production"),
        ("LOG_LEVEL", "warn", "one of debug, info, warning, error, critical"),
        ("LOG_FORMAT", "auto", "one of json, console"),
    ],
)
def test_a_malformed_value_is_answered_with_what_is_accepted(variable: str, value: str, accepted: str) -> None:
    line = next(line for line in rejected(**{variable: value}) if line.startswith(variable))

    assert line.startswith(f"{variable}: expected {accepted}, got {value[:60]!r}"[:-1])
    assert line.endswith("(from environment)")
    assert len(line) < 250


@pytest.mark.parametrize("variable", ["APP_ENV", "LOG_LEVEL", "LOG_FORMAT"])
def test_a_choice_may_be_written_in_capitals(variable: str) -> None:
    value = {"APP_ENV": "TEST", "LOG_LEVEL": "DEBUG", "LOG_FORMAT": "JSON"}[variable]

    assert f"{variable}={value.lower()}" in masked_lines(settings(**{variable: value}))


@pytest.mark.parametrize("character", ["\n", "\x00", "\x1b", "\u2028", "\udcff"])
@pytest.mark.parametrize("variable", ["HOST", "PORT", "ALLOWED_HOSTS", "LOG_FILE", "DATABASE_URL", "REDIS_URL"])
def test_a_control_character_neither_passes_nor_forges_a_line(variable: str, character: str) -> None:
    lines = rejected(**{variable: f"a{character}PORT: fine"})

    assert len(lines) == 1
    assert lines[0].isprintable()


HOSTS = ["api.example.com", "*.example.com", "localhost", "10.0.0.7", "[::1]", "my_service", "xn--bcher-kva.example"]


@pytest.mark.parametrize("host", HOSTS)
def test_a_host_is_a_name_or_an_address(host: str) -> None:
    assert (host,) == settings(ALLOWED_HOSTS=host).server.allowed_hosts


def test_a_list_is_separated_by_commas_and_ignores_spaces_capitals_and_gaps() -> None:
    server = settings(ALLOWED_HOSTS=" API.example.com, localhost ,,").server

    assert ("api.example.com", "localhost") == server.allowed_hosts


NO_HOSTS = ["a.example:80", "https://a.example", "a b", "-a.example", "a..b", "*.*.com", "*a.com", "::1", "[::1", "a/b"]
NO_HOSTS += ["bücher.example", "1.2.3", "256.1.1.1", "a" * 64, ".", "*."]


@pytest.mark.parametrize("host", NO_HOSTS)
def test_what_cannot_be_a_host_header_is_rejected(host: str) -> None:
    (line,) = rejected(ALLOWED_HOSTS=f"fine.example.com,{host}")

    assert line.startswith("ALLOWED_HOSTS: '")
    assert "is not accepted; expected host names without a port" in line


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("https://app.example.com", "https://app.example.com"),
        ("HTTPS://App.Example.com", "https://app.example.com"),
        ("http://localhost:3000", "http://localhost:3000"),
        ("https://app.example.com:443", "https://app.example.com"),
        ("http://[::1]:3000", "http://[::1]:3000"),
        ("capacitor://localhost", "capacitor://localhost"),
    ],
)
def test_an_origin_is_kept_as_a_browser_sends_it(given: str, expected: str) -> None:
    assert (expected,) == settings(CORS_ORIGINS=given).server.cors_origins


@pytest.mark.parametrize(
    "origin",
    ["a.example", "https://a/", "https://a/x", "null", "https://*.a", "https://a:99999", "https://", "https://a?b"],
)
def test_what_no_browser_sends_as_an_origin_is_rejected(origin: str) -> None:
    (line,) = rejected(CORS_ORIGINS=origin)

    assert "is not accepted; expected origins" in line


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("10.0.0.7", "10.0.0.7"),
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("::1", "::1"),
        ("FD00::/8", "fd00::/8"),
        ("*", "*"),
    ],
)
def test_a_proxy_is_an_address_or_a_network(given: str, expected: str) -> None:
    assert (expected,) == settings(TRUSTED_PROXIES=given).server.trusted_proxies


@pytest.mark.parametrize("proxy", ["10.0.0.1/8", "10.0.0.0/33", "proxy.example.com", "10.0.0", "10.0.0.1:80"])
def test_what_is_neither_an_address_nor_a_network_is_rejected(proxy: str) -> None:
    (line,) = rejected(TRUSTED_PROXIES=proxy)

    assert f"{proxy!r} is not accepted; expected IP addresses and networks" in line


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "127.0.0.1", "localhost", "MyHost.local"])  # noqa: S104 - nothing is bound
def test_the_service_listens_on_an_address_or_a_name(host: str) -> None:
    assert host == settings(HOST=host).server.host


@pytest.mark.parametrize("host", ["127.0.0.1:80", "http://a", "a b", "*", "[::1]", "999.1.1.1"])
def test_what_nobody_can_listen_on_is_rejected(host: str) -> None:
    (line,) = rejected(HOST=host)

    assert line.startswith(f"HOST: {host!r} is not accepted")


FORGED = "is rejected in production: every client could then forge its address"


@pytest.mark.parametrize(
    ("variable", "value", "reason"),
    [
        ("ALLOWED_HOSTS", "", "missing; production needs the host names that clients use, such as api.example.com"),
        ("ALLOWED_HOSTS", "*", "'*' is rejected in production: it lets every Host header through"),
        ("ALLOWED_HOSTS", "a.example,*", "'*' is rejected in production: it lets every Host header through"),
        ("CORS_ORIGINS", "*", "'*' is rejected in production: it lets every web page read the responses"),
        ("TRUSTED_PROXIES", "*", f"'*' {FORGED}"),
        ("TRUSTED_PROXIES", "0.0.0.0/0", f"'0.0.0.0/0' {FORGED}"),
        ("TRUSTED_PROXIES", "0::/0", f"'::/0' {FORGED}"),
        ("DEBUG", "true", "true is rejected in production"),
        ("DOCS_ENABLED", "yes", "true is rejected in production"),
    ],
)
def test_what_is_insecure_is_accepted_in_development_and_rejected_where_it_counts(
    variable: str, value: str, reason: str
) -> None:
    source = "from environment" if value else "not set"

    settings(**SAFE | {"APP_ENV": "development", variable: value})
    settings(**SAFE | {"APP_ENV": "test", variable: value})
    assert [f"{variable}: {reason} ({source})"] == rejected(**SAFE | {variable: value})
    assert [f"{variable}: {reason} ({source})".replace("production", "staging")] == rejected(
        **SAFE | {"APP_ENV": "staging", variable: value}
    )


def test_a_malformed_element_does_not_hide_an_insecure_one() -> None:
    (line,) = rejected(**SAFE | {"CORS_ORIGINS": "*,app"})

    assert "'*' is rejected in production" in line
    assert "'app' is not accepted" in line


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:///./data/x.db",
        "sqlite:////var/lib/x.db",
        "sqlite:///my file.db",
        "postgres://u@localhost/x",
        "postgresql://u:p%40ss@db:5432/x?sslmode=require",
        "postgresql://[::1]/x",
        "postgresql:///x?host=/run/postgresql",
    ],
)
def test_sqlite_and_postgresql_are_accepted(url: str) -> None:
    assert url == settings(DATABASE_URL=url).database.url.get_secret_value()


@pytest.mark.parametrize(
    ("url", "direct", "reason"),
    [
        ("postgresql://db/x", "sqlite:////var/lib/x.db", "it is not the address of a PostgreSQL server"),
        ("sqlite:///x.db", "postgresql://db/x", "it contradicts DATABASE_URL, which is SQLite"),
    ],
)
def test_migrations_run_in_the_database_that_is_served(url: str, direct: str, reason: str) -> None:
    with pytest.raises(SettingsError) as caught:
        settings(DATABASE_URL=url, DATABASE_DIRECT_URL=direct)

    assert f"DATABASE_DIRECT_URL: {reason}" in str(caught.value)
    assert str(caught.value).endswith("; expected postgresql://USER:PASSWORD@HOST:PORT/DATABASE (from environment)")


DATABASES = "expected sqlite:///PATH (sqlite:////PATH when absolute) or postgresql://USER:PASSWORD@HOST:PORT/DATABASE"


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("mysql://u:hunter2@db/x", "it is not the address of a database that the service supports"),
        ("hunter2", "it is not the address of a database that the service supports"),
        ("sqlite", "it names no database file (one in memory would be another for each connection)"),
        ("postgresql+asyncpg://u:hunter2@db/x", "it names a driver after '+', which the service chooses itself"),
        ("sqlite+aiosqlite:///x.db", "it names a driver after '+', which the service chooses itself"),
        ("sqlite://", "it names no database file (one in memory would be another for each connection)"),
        ("sqlite:///:memory:", "it names no database file (one in memory would be another for each connection)"),
        ("sqlite://x.db", "it names no database file (one in memory would be another for each connection)"),
        ("postgresql://u:hunter2@db", "it names no database after the host"),
        ("postgresql://u:hunter2@/x", "it names no host"),
        ("postgresql://u:hun ter2@db/x", "it contains a space or a control character"),
        ("postgresql://db/x?password=a&hunter2", "what follows its ? is not NAME=VALUE, with & between two of them"),
        *(
            (url, "its host or port is unclear; in the password, write @ : / ? # % as %40 %3A %2F %3F %23 %25")
            for url in [
                "postgresql://u:hunter2@db:port/x",
                "postgresql://u:hunter2@db:99999/x",
                "postgresql://u:12/hunter2@db/x",
                "postgresql://u:hunter2?x@db/x",
                "postgresql://u:hunter2#x@db/x",
                "postgresql://u:hunter2@x@db/x",
                "postgresql://db/x?password=a#hunter2",
                "postgresql://u:hunter2@[db/x",
            ]
        ),
    ],
)
def test_another_database_address_is_rejected_without_being_shown(url: str, reason: str) -> None:
    lines = rejected(DATABASE_URL=url)

    assert [f"DATABASE_URL: {reason}; {DATABASES} (from environment)"] == lines


GUESSED = "which is rejected in production for a server on another machine"


@pytest.mark.parametrize(
    ("password", "reason"),
    [
        ("", "is empty"),
        ("postgres", "is a sample value"),
        ("Password-123", "is a sample value"),
        ("please-change-me-now", "is a sample value"),
        ("service-account", "is the user name"),
        ("hunter2", "is shorter than 8 characters"),
        ("h%75nter2", "is shorter than 8 characters"),
        ("aaaaaaaaaaaa", "has too few different characters"),
        ("1234567890", "has too few different characters"),
    ],
)
def test_a_password_that_can_be_guessed_is_rejected_for_a_remote_database_in_production(
    password: str, reason: str
) -> None:
    url = f"postgresql://service-account:{password}@db/x"

    settings(DATABASE_URL=url)
    assert rejected(**SAFE | {"DATABASE_URL": url}) == [
        f"DATABASE_URL: its password {reason}, {GUESSED} (from environment)"
    ]


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
def test_a_database_on_this_machine_may_have_any_password(host: str) -> None:
    url = f"postgresql://postgres:postgres@{host}/x"

    assert url == settings(**SAFE | {"DATABASE_URL": url}).database.url.get_secret_value()


def test_sqlite_in_production_is_a_warning() -> None:
    warning = (
        "DATABASE_URL: SQLite in production keeps everything on the disk of one machine; "
        "a second replica would not see it"
    )

    assert (warning,) == settings(**SAFE | {"DATABASE_URL": "sqlite:////data/x.db"}).warnings


@pytest.mark.parametrize(
    "url", ["redis://cache", "rediss://:correct-horse@cache:6380/1", "redis://u:correct-horse@cache/0", "unix:///run/r"]
)
def test_a_redis_address_is_accepted(url: str) -> None:
    redis = settings(**SAFE | {"REDIS_URL": url}).redis

    assert redis.url is not None
    assert url == redis.url.get_secret_value()


@pytest.mark.parametrize("variable", ["DATABASE_URL", "REDIS_URL"])
def test_a_secret_that_is_not_text_is_not_shown_either(variable: str) -> None:
    (line,) = rejected(**{variable: "redis://:hunter2\udcff@cache"})

    assert "hunter2" not in line


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("cache:6379", "it is not the address of a Redis server"),
        ("http://cache", "it is not the address of a Redis server"),
        ("redis://", "it is not the address of a Redis server"),
        ("redis://:hunter2@cache/name", "what follows the host is not the number of a database"),
        ("redis://hunter2@cache", "it has a user and no password; a password alone is written :PASSWORD@HOST"),
    ],
)
def test_another_redis_address_is_rejected_without_being_shown(url: str, reason: str) -> None:
    accepted = "expected redis://USER:PASSWORD@HOST:PORT/NUMBER, rediss:// for TLS, or unix://PATH"

    assert [f"REDIS_URL: {reason}; {accepted} (from environment)"] == rejected(REDIS_URL=url)


def test_a_sample_password_of_redis_is_rejected_in_production() -> None:
    line = f"REDIS_URL: its password is a sample value, {GUESSED} (from environment)"

    assert [line] == rejected(**SAFE | {"REDIS_URL": "redis://:redis@cache"})


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        settings().server.port = 1


class Size(StrEnum):
    SMALL = "small"
    LARGE = "large"


class ShopSettings(SettingsGroup):
    """What a feature would add."""

    key: Annotated[SecretStr, Accepts("6 characters or more")] = Field(
        min_length=6, validation_alias="SHOP_KEY", description="The key of the shop."
    )
    shelves: int = Field(default=3, ge=1, le=9, validation_alias="SHOP_SHELVES", description="How many shelves.")


def test_a_feature_adds_a_group_that_is_read_reported_and_masked_as_the_others(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("open-sesame\n", encoding="utf-8")
    (tmp_path / ".env").write_text("SHOP_SHELVS=4\n", encoding="utf-8")

    built = load_settings({"SHOP_KEY_FILE": "key"}, tmp_path, ShopSettings)

    assert built.group(ShopSettings).key.get_secret_value() == "open-sesame"
    assert ["SHOP_KEY=***", "SHOP_SHELVES=3"] == masked_lines(built)[-2:]
    assert ["open-sesame"] == list(secret_values(built))
    assert (".env: 'SHOP_SHELVS' is not a setting; did you mean 'SHOP_SHELVES'?",) == built.warnings


def test_what_a_feature_requires_is_missing_beside_the_problems_of_the_core() -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings({"PORT": "x", "SHOP_SHELVES": "0"}, NOWHERE, ShopSettings)

    assert ["PORT", "SHOP_KEY", "SHOP_SHELVES"] == [problem.variable for problem in caught.value.problems]
    assert ["environment", "default", "environment"] == [problem.source for problem in caught.value.problems]


def test_a_short_secret_of_a_feature_is_rejected_without_being_shown() -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings({"SHOP_KEY": "short"}, NOWHERE, ShopSettings)

    assert "SHOP_KEY: expected 6 characters or more (from environment)" == str(caught.value)


def test_a_required_secret_whose_file_cannot_be_read_is_one_problem() -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings({"SHOP_KEY_FILE": "nowhere"}, NOWHERE, ShopSettings)

    assert ["SHOP_KEY_FILE"] == [problem.variable for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        (Annotated[int, Field(ge=1, le=5)], "a whole number of seconds from 1 to 5"),
        (Annotated[float, Field(gt=0, le=5)], "a number of seconds above 0 and up to 5"),
        (Annotated[float, Field(gt=0)], "a number of seconds above 0"),
        (Annotated[float | None, Field(ge=0.5)], "a number of seconds from 0.5"),
        (Annotated[int, Field(lt=5)], "a whole number of seconds below 5"),
        (Annotated[int, Field(ge=1, lt=5)], "a whole number of seconds from 1 and below 5"),
        (int, "a whole number of seconds"),
        (PositiveInt, "a whole number of seconds above 0"),
        (Literal[15, 30], "one of 15, 30"),
        (Size, "one of small, large"),
        (str, "a text"),
        (Annotated[str, Field(pattern=r"^[a-z]+$")], "a text that matches ^[a-z]+$"),
        (Annotated[str | None, Field(min_length=1, max_length=40)], "a text of 1 to 40 characters"),
        (Annotated[SecretStr, Field(min_length=16)], "a text of at least 16 characters"),
        (
            Annotated[str, StringConstraints(max_length=9, pattern="a|b")],
            "a text of at most 9 characters that matches a|b",
        ),
        (bool, "true or false"),
    ],
    ids=str,
)
def test_a_group_may_bound_what_it_accepts_as_pydantic_does(annotation: Any, expected: str) -> None:
    group = create_model("Group", __base__=SettingsGroup, wait=(annotation, Field(validation_alias="SHOP_SECONDS")))

    assert [expected] == [variable.accepted for variable in variables(group)]


def test_a_field_that_names_no_variable_is_told_to_its_owner() -> None:
    class Group(SettingsGroup):
        wait: int = 1

    with pytest.raises(TypeError, match=r"^Group\.wait names no variable: write Field\(validation_alias="):
        list(variables(Group))


@pytest.mark.anyio
async def test_the_size_of_the_cache_is_a_setting() -> None:
    from acme_service.chassis.wiring import _cache  # noqa: PLC0415 - what a setting reaches, and no other way to ask

    async def load() -> bytes:
        return b"1"

    cache = _cache(settings(CACHE_ENTRIES="2"), "service")
    for key in "abc":
        await cache.get_or_load(key, load)

    assert 1 == cache.stats.evictions
