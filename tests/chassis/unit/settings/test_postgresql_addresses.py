"""Addresses as providers print them: accepted and mapped, or rejected by name before anything connects."""

from __future__ import annotations

from pathlib import Path

import pytest

from acme_service.chassis.settings import SettingsError
from acme_service.chassis.settings.postgresql import PostgresqlAddress, parse_postgresql

from ...environment import load_settings

BASE = "postgresql://service:Fq7vK2mZx9LtR4wB@db.example.com/service"


def accepted(query: str, base: str = BASE) -> PostgresqlAddress:
    """What *query* becomes; the settings accept the address as well."""
    url = f"{base}?{query}"
    load_settings({"DATABASE_URL": url}, Path("/there-is-no-such-directory"))
    return parse_postgresql(url)


def rejected(query: str, base: str = BASE) -> str:
    with pytest.raises(SettingsError) as raised:
        load_settings({"DATABASE_URL": f"{base}?{query}"}, Path("/there-is-no-such-directory"))
    assert "Fq7vK2mZx9LtR4wB" not in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize(
    "query",
    [
        *("channel_binding=prefer", "channel_binding=disable", "gssencmode=disable", "gssencmode=prefer", "sslsni=1"),
        *(
            "client_encoding=utf8",
            "fallback_application_name=x",
            "sslcompression=0",
            "schema=public",
            "pgbouncer=false",
        ),
    ],
)
def test_what_the_driver_does_anyway_is_left_out(query: str) -> None:
    address = accepted(query)

    assert PostgresqlAddress([("db.example.com", 5432)], dsn=BASE.replace("db.example.com", "")) == address


@pytest.mark.parametrize(
    ("query", "attribute", "value"),
    [
        ("connect_timeout=10", "connect_timeout_seconds", 10.0),
        ("target_session_attrs=primary", "target_session_attrs", "primary"),
        ("pgbouncer=true", "pooled", True),
        ("schema=app", "settings", {"search_path": "app"}),
        ("search_path=app,public", "settings", {"search_path": "app,public"}),
        ("application_name=mine", "settings", {"application_name": "mine"}),
        ("options=endpoint%3Dep-cool-1", "settings", {"options": "endpoint=ep-cool-1"}),
        ("sslrootcert=system", "verify_by_system", True),
        ("sslmode=verify-full&sslrootcert=system", "verify_by_system", True),
        (
            "keepalives=1&keepalives_idle=30&keepalives_interval=10&keepalives_count=3&tcp_user_timeout=5000",
            "keepalives",
            {
                "keepalives": 1,
                "keepalives_idle": 30,
                "keepalives_interval": 10,
                "keepalives_count": 3,
                "tcp_user_timeout": 5000,
            },
        ),
    ],
)
def test_a_parameter_of_libpq_or_an_orm_is_mapped(query: str, attribute: str, value: object) -> None:
    address = accepted(query)

    assert value == getattr(address, attribute)
    assert address.dsn == BASE.replace("db.example.com", "")


@pytest.mark.parametrize(
    ("query", "mode"),
    [("ssl=true", "require"), ("ssl=false", "disable"), ("ssl=verify-ca", "verify-ca"), ("sslmode=require", "require")],
)
def test_tls_is_asked_for_as_the_driver_names_it(query: str, mode: str) -> None:
    assert accepted(query).dsn.endswith(f"?sslmode={mode}")


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("channel_binding=require", "channel_binding=prefer, and sslmode=verify-full&sslrootcert=system"),
        ("gssencmode=require", "gssencmode=disable"),
        ("client_encoding=latin1", "speaks UTF-8"),
        ("connect_timeout=0", "connect_timeout=0 waits for ever"),
        ("connect_timeout=soon", "connect_timeout is not a whole number"),
        ("keepalives_idle=-1", "keepalives_idle is not a whole number"),
        ("target_session_attrs=standby", "write read-write"),
        ("pgbouncer=maybe", "pgbouncer is true or false"),
        ("schema=a%20b", "schema is not one plain name"),
        ("pgbouncer=true&schema=app", "by ALTER ROLE ... SET search_path"),
        ("pgbouncer=true&options=-cx%3D1", "options cannot be sent to PgBouncer: set each"),
        ("ssl=no-verify", "ssl=no-verify is no mode"),
        ("ssl=true&sslmode=disable", "leave ssl out"),
        ("sslmode=no-verify", "write one of disable, allow, prefer, require, verify-ca, verify-full"),
        ("sslmode=require&sslrootcert=system", "write sslmode=verify-full"),
        ("sslrootcert=system&sslcrl=x", "sslcrl has no effect"),
        ("connection_limit=5", "DB_POOL_SIZE"),
        ("pool_timeout=5", "DB_POOL_TIMEOUT_SECONDS"),
        ("sslaccept=strict", "sslmode=verify-full"),
        ("statement_cache_size=0", "pgbouncer=true"),
        ("statement_timeout=5000", "ALTER ROLE"),
        ("sslmode=require&sslmode=disable", "sslmode stands in it twice"),
    ],
)
def test_any_other_parameter_is_rejected_by_name_with_what_to_write(query: str, said: str) -> None:
    message = rejected(query)

    assert query.rpartition("&")[2].partition("=")[0] in message
    assert said in message


def test_what_may_be_part_of_a_password_is_not_shown() -> None:
    """An & in it that is not escaped makes a name and a value."""
    for query in ("password=Fq7&vK2mZx9=LtR4wB", "password=Fq7&sslmode=LtR4wB"):
        message = rejected(query)
        assert "%26" in message
        assert not [part for part in ("Fq7", "vK2mZx9", "LtR4wB") if part in message]


@pytest.mark.parametrize(
    ("base", "hosts"),
    [
        ("postgresql://a@one,two:5433/x", [("one", 5432), ("two", 5433)]),
        ("postgres://a@one:1,two:2,[::1]:3/x", [("one", 1), ("two", 2), ("::1", 3)]),
        ("postgresql://a@/x?host=one,two&port=1,2", [("one", 1), ("two", 2)]),
        ("postgresql://a@/x?host=one,two&port=7", [("one", 7), ("two", 7)]),
        ("postgresql://a@/x?host=one:1&host=two", [("one", 1), ("two", 5432)]),
        ("postgresql://a@/x?host=%2Frun%2Fpostgresql", [("/run/postgresql", 5432)]),
        ("postgresql://a@%2Frun%2Fpostgresql/x", [("/run/postgresql", 5432)]),
    ],
)
def test_several_hosts_ask_for_the_one_that_takes_writes(base: str, hosts: list[tuple[str, int]]) -> None:
    load_settings({"DATABASE_URL": base}, Path("/there-is-no-such-directory"))
    address = parse_postgresql(base)

    assert hosts == address.hosts
    assert (len(hosts) > 1) == (address.target_session_attrs == "read-write")


def test_of_several_hosts_any_may_be_asked_for() -> None:
    address = parse_postgresql("postgresql://a@one,two/x?target_session_attrs=any")

    assert "any" == address.target_session_attrs


@pytest.mark.parametrize(
    "base",
    [
        *(
            "postgresql://a@one,/x",
            "postgresql://a@one:0,two/x",
            "postgresql://a@one:65536/x",
            "postgresql://a@one:x/x",
        ),
        *(
            "postgresql://a@one,two/",
            "postgresql://a@/x?host=a,b&port=1,2,3",
            "postgresql://a@::1/x",
            "postgresql:///x",
        ),
    ],
)
def test_unclear_hosts_are_rejected(base: str) -> None:
    with pytest.raises(SettingsError, match=r"DATABASE_URL: its? |DATABASE_URL: port"):
        load_settings({"DATABASE_URL": base}, Path("/there-is-no-such-directory"))


def test_a_weak_password_is_rejected_unless_every_host_is_this_machine() -> None:
    hardened = {"APP_ENV": "production", "ALLOWED_HOSTS": "a.example"}
    url = "postgresql://service:changeme@localhost{}/service"
    load_settings({**hardened, "DATABASE_URL": url.format("")}, Path("/there-is-no-such-directory"))
    with pytest.raises(SettingsError, match="sample value"):
        load_settings({**hardened, "DATABASE_URL": url.format(",db.example.com")}, Path("/there-is-no-such-directory"))
