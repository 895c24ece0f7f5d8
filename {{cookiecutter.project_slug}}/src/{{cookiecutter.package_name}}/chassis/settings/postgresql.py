"""Addresses of PostgreSQL as providers print them: each parameter is the driver's, is mapped, or is rejected by name.

The driver would send what it does not know to the server as a setting of the session, where it fails much later.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

DEFAULT_PORT = 5432
UNCLEAR = "its host or port is unclear; in the password, write @ : / ? # % as %40 %3A %2F %3F %23 %25"

_DRIVER = {
    *("passfile", "service", "sslcert", "sslkey", "sslpassword", "sslcrl", "sslnegotiation"),
    *("ssl_min_protocol_version", "ssl_max_protocol_version", "krbsrvname", "gsslib", "user", "password"),
}
"""What asyncpg reads from an address by itself (its `connect`)."""

_SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_TRUE, _FALSE = {"true", "1", "yes", "on"}, {"false", "0", "no", "off"}
_KEEPALIVES = ("keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_POOL = "set DB_POOL_SIZE, DB_MAX_OVERFLOW and DB_POOL_TIMEOUT_SECONDS instead"
_STATEMENTS = "leave it out; pgbouncer=true does without prepared statements"
_INSTEAD = {
    "connection_limit": _POOL,
    "hostaddr": "write the address in place of the host",
    "load_balance_hosts": "leave it out: the hosts are tried in their order",
    "max_overflow": _POOL,
    "pool_size": _POOL,
    "pool_timeout": _POOL,
    "prepared_statement_cache_size": _STATEMENTS,
    "prepareThreshold": _STATEMENTS,
    "replication": "leave it out",
    "requiressl": "write sslmode=require",
    "socket_timeout": "set DB_STATEMENT_TIMEOUT_SECONDS instead",
    "sslaccept": "write sslmode=verify-full for strict, sslmode=require otherwise",
    "sslidentity": "write sslcert=PATH and sslkey=PATH",
    "statement_cache_size": _STATEMENTS,
}
_HARMLESS = {
    "channel_binding": (
        {"disable", "prefer"},
        "write channel_binding=prefer, and sslmode=verify-full&sslrootcert=system",
    ),
    "client_encoding": ({"utf8", "utf-8", "unicode", "auto"}, "leave it out: the service speaks UTF-8"),
    "gssencmode": ({"disable", "prefer"}, "write gssencmode=disable: the driver encrypts by TLS alone"),
    "sslcompression": ({"0"}, "leave it out: TLS has no compression any more"),
    "sslsni": ({"1"}, "leave it out: the driver always sends the name of the host"),
}
"""Values that ask for what the driver does anyway, and what to write in place of others."""


@dataclass(slots=True)
class PostgresqlAddress:
    """An address, taken apart; `dsn` is for the driver and has only what that knows."""

    hosts: list[tuple[str, int]]
    """In the order in which they are tried; one that begins with / is the folder of a socket."""
    dsn: str = ""
    target_session_attrs: str | None = None
    connect_timeout_seconds: float | None = None
    verify_by_system: bool = False
    """Whether the server's certificate is checked with those that the machine trusts (`sslrootcert=system`)."""
    pooled: bool = False
    """Whether it leads to PgBouncer in transaction mode."""
    settings: dict[str, str] = field(default_factory=dict)
    """Of the session, by the names that the server has for them."""
    keepalives: dict[str, int] = field(default_factory=dict)
    """Options of the socket, by libpq's names."""


def parse_postgresql(url: str) -> PostgresqlAddress:
    """Read *url*; raises ValueError, which names the parameter, says what to write, and shows no secret."""
    parts = urlsplit(url)
    credentials, at, netloc = parts.netloc.rpartition("@")
    parameters = _parameters(parts.query)
    kept = {name: value for name, value in parameters.items() if name in _DRIVER}
    database = parts.path.lstrip("/") or parameters.get("dbname") or parameters.get("database", "")
    hosts = _hosts(netloc, parameters)
    address = PostgresqlAddress(hosts)
    for name, value in parameters.items():
        if name in _DRIVER:
            continue
        try:
            _map(address, kept, name, value)
        except ValueError:
            if "password" in parameters:  # of which an & that is not escaped makes a name and a value
                raise ValueError(
                    "what follows its password is no parameter with a value that the service knows; in the password, "
                    "write & as %26"
                ) from None
            raise
    if address.pooled:
        _check_pooled(address)
    if address.verify_by_system:
        _check_tls(kept)
    if address.target_session_attrs is None and len(hosts) > 1:
        address.target_session_attrs = "read-write"
    query = urlencode(kept)
    address.dsn = urlunsplit(("postgresql", f"{credentials}{at}", f"/{database}", query, ""))
    return address


def _parameters(query: str) -> dict[str, str]:
    pairs = parse_qsl(query, keep_blank_values=True)
    found: dict[str, str] = {}
    for name, value in pairs:
        if name in found and name not in {"host", "port"}:
            raise ValueError(f"{name} stands in it twice")
        found[name] = f"{found[name]},{value}" if name in found else value
    return found


def _hosts(netloc: str, parameters: dict[str, str]) -> list[tuple[str, int]]:
    """Those before the database, or else those of the parameters `host` and `port`."""
    if netloc:
        return [_host(text, "") for text in netloc.split(",")]
    names = [name for name in parameters.get("host", "").split(",") if name]
    ports = parameters.get("port", "").split(",")
    if len(ports) not in {1, len(names)}:
        raise ValueError("port has another number of values than host")
    return [_host(name, ports[place if len(ports) > 1 else 0]) for place, name in enumerate(names)]


def _host(text: str, port: str) -> tuple[str, int]:
    match = re.fullmatch(r"(\[[0-9A-Fa-f:.%]+\]|[^:\[\]]+)(?::(.*))?", text)
    if match is None:
        raise ValueError(UNCLEAR)
    written = match[2] or port
    number = int(written) if re.fullmatch(r"[0-9]{1,5}", written, re.ASCII) else -1 if written else DEFAULT_PORT
    if not 0 < number <= 65_535:  # noqa: PLR2004 - the highest port
        raise ValueError(UNCLEAR)
    return unquote(match[1].strip("[]")), number


def _map(address: PostgresqlAddress, kept: dict[str, str], name: str, value: str) -> None:
    if name in _HARMLESS:
        accepted, instead = _HARMLESS[name]
        if value.lower() not in accepted:
            raise ValueError(f"{name}={value} is not what the driver does: {instead}")
    elif name in _KEEPALIVES:
        address.keepalives[name] = _whole(name, value)
    elif name in _MAPPED:
        _MAPPED[name](address, kept, value)
    elif name in _INSTEAD:
        raise ValueError(f"{name} is not a parameter of this driver: {_INSTEAD[name]}")
    else:
        raise ValueError(
            f"{name} is not a parameter that the service knows: leave it out, or set it in the server, by ALTER ROLE "
            f"... SET {name}"
        )


def _whole(name: str, value: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", value, re.ASCII):
        raise ValueError(f"{name} is not a whole number")
    return int(value)


def _connect_timeout(address: PostgresqlAddress, _kept: dict[str, str], value: str) -> None:
    address.connect_timeout_seconds = float(_whole("connect_timeout", value))
    if not address.connect_timeout_seconds:
        raise ValueError(
            "connect_timeout=0 waits for ever: write the seconds, or leave it to DB_CONNECT_TIMEOUT_SECONDS"
        )


def _target(address: PostgresqlAddress, _kept: dict[str, str], value: str) -> None:
    if value not in {"any", "read-write", "primary"}:
        raise ValueError(f"target_session_attrs={value} does not ask for a server that takes writes: write read-write")
    address.target_session_attrs = value


def _pgbouncer(address: PostgresqlAddress, _kept: dict[str, str], value: str) -> None:
    if value.lower() not in _TRUE | _FALSE:
        raise ValueError("pgbouncer is true or false")
    address.pooled = value.lower() in _TRUE


def _schema(address: PostgresqlAddress, _kept: dict[str, str], value: str) -> None:
    if not _NAME.fullmatch(value):
        raise ValueError("schema is not one plain name, such as schema=app")
    if value != "public":
        address.settings["search_path"] = value


def _ssl(_address: PostgresqlAddress, kept: dict[str, str], value: str) -> None:
    mode = "require" if value.lower() in _TRUE else "disable" if value.lower() in _FALSE else value
    if mode not in _SSL_MODES:
        raise ValueError(f"ssl={value} is no mode: write sslmode=require, or sslmode=verify-full&sslrootcert=system")
    if kept.setdefault("sslmode", mode) != mode:
        raise ValueError(f"ssl={value} and sslmode={kept['sslmode']} contradict each other: leave ssl out")


def _sslmode(_address: PostgresqlAddress, kept: dict[str, str], value: str) -> None:
    if value not in _SSL_MODES:
        raise ValueError(f"sslmode={value} is no mode: write one of {', '.join(_SSL_MODES)}")
    if kept.setdefault("sslmode", value) != value:
        raise ValueError(f"ssl and sslmode={value} contradict each other: leave ssl out")


def _root(address: PostgresqlAddress, kept: dict[str, str], value: str) -> None:
    if value == "system":
        address.verify_by_system = True
    else:
        kept["sslrootcert"] = value


def _setting(name: str) -> Callable[[PostgresqlAddress, dict[str, str], str], None]:
    return lambda address, _kept, value: address.settings.__setitem__(name, value)


def _nothing(_address: PostgresqlAddress, _kept: dict[str, str], _value: str) -> None:
    """It was read before."""


_MAPPED: dict[str, Callable[[PostgresqlAddress, dict[str, str], str], None]] = {
    **dict.fromkeys(("host", "port", "dbname", "database"), _nothing),
    "application_name": _setting("application_name"),
    "connect_timeout": _connect_timeout,
    "fallback_application_name": _nothing,
    "options": _setting("options"),
    "pgbouncer": _pgbouncer,
    "schema": _schema,
    "search_path": _setting("search_path"),
    "ssl": _ssl,
    "sslmode": _sslmode,
    "sslrootcert": _root,
    "target_session_attrs": _target,
}


def _check_pooled(address: PostgresqlAddress) -> None:
    if "options" in address.settings:
        raise ValueError("options cannot be sent to PgBouncer: set each in the server, by ALTER ROLE ... SET NAME")
    if "search_path" in address.settings:
        raise ValueError(
            "a schema cannot be sent to PgBouncer: set it in the server, by ALTER ROLE ... SET search_path"
        )


def _check_tls(kept: dict[str, str]) -> None:
    """For a server whose certificate is checked with those that the machine trusts."""
    if kept.pop("sslmode", "verify-full") != "verify-full":  # as in libpq
        raise ValueError("sslrootcert=system checks the name of the host as well: write sslmode=verify-full")
    if beside := {"sslcrl", "ssl_min_protocol_version", "ssl_max_protocol_version"} & set(kept):
        raise ValueError(f"{min(beside)} has no effect beside sslrootcert=system: leave it out")
