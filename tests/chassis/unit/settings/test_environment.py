"""Where a value comes from, and what is said when a source cannot be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from acme_service.chassis.settings import Settings, SettingsError
from acme_service.chassis.settings.environment import read_environment

from ...environment import load_settings

PASSWORD = "correct-horse-battery"
URL = f"postgresql://service:{PASSWORD}@db.internal/service"


def write(directory: Path, name: str, text: str) -> Path:
    path = directory / name
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    return path


def rejected(environ: dict[str, str], directory: Path) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load_settings(environ, directory)
    return [str(problem) for problem in caught.value.problems]


def settings_from(directory: Path, **environ: str) -> Settings:
    return load_settings(environ, directory)


def test_the_real_environment_wins_over_the_file_of_the_environment_which_wins_over_the_common_file(
    tmp_path: Path,
) -> None:
    write(tmp_path, ".env", "PORT=1001\nDB_POOL_SIZE=2\nDB_MAX_OVERFLOW=3\nAPP_ENV=test\n")
    write(tmp_path, ".env.test", "PORT=2001\nDB_POOL_SIZE=22\n")

    settings = settings_from(tmp_path, PORT="3001")

    assert (3001, 22, 3) == (settings.server.port, settings.database.pool_size, settings.database.max_overflow)


def test_the_file_of_another_environment_is_not_read(tmp_path: Path) -> None:
    write(tmp_path, ".env.test", "PORT=2001\n")

    assert settings_from(tmp_path).server.port == 8000
    assert settings_from(tmp_path, APP_ENV="test").server.port == 2001


def test_an_empty_value_takes_back_what_a_lower_source_says(tmp_path: Path) -> None:
    write(tmp_path, ".env", "REDIS_URL=redis://shared\nPORT=1001\n")

    settings = settings_from(tmp_path, REDIS_URL="", PORT="  ")

    assert settings.redis.url is None
    assert settings.server.port == 8000


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("LOG_FILE=plain # a comment", "plain"),
        ("LOG_FILE='a # b'", "a # b"),
        ('export LOG_FILE="quoted"', "quoted"),
        ("LOG_FILE = spaced ", "spaced"),
        ("LOG_FILE=${HOME}/$x", "${HOME}/$x"),
        ("\ufeffLOG_FILE=after-a-byte-order-mark", "after-a-byte-order-mark"),
    ],
)
def test_a_line_is_read_as_written(tmp_path: Path, line: str, expected: str) -> None:
    write(tmp_path, ".env", line)

    assert Path(expected) == settings_from(tmp_path).logging.file


def test_every_line_that_cannot_be_read_is_named_by_number_and_not_shown(tmp_path: Path) -> None:
    write(tmp_path, ".env", f"PORT=1001\n\n{PASSWORD}\n# fine\nLOG_LEVEL='{PASSWORD}\n")

    lines = rejected({"DB_POOL_SIZE": "x"}, tmp_path)

    assert [".env: line 3 is", ".env: line 5 is", "DB_POOL_SIZE: e"] == [line[:15] for line in lines]
    assert PASSWORD not in "\n".join(lines)


def test_a_file_that_is_not_text_is_a_problem_beside_the_others(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"PORT=\xff\n")

    assert [
        ".env: byte 5 is not UTF-8 text",
        "DB_POOL_SIZE: expected a whole number from 1 to 1000, got 'x' (from environment)",
    ] == rejected({"DB_POOL_SIZE": "x"}, tmp_path)


def test_a_directory_in_the_place_of_the_file_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / ".env").mkdir()

    assert [".env: cannot be read: Is a directory"] == rejected({}, tmp_path)


def test_a_misspelt_environment_is_one_problem_and_the_rest_is_checked_as_the_nearest(tmp_path: Path) -> None:
    write(tmp_path, ".env", "APP_ENV=prod\n")
    write(tmp_path, ".env.production", "DEBUG=true\n")

    lines = rejected({"PORT": "x", "DATABASE_URL": "sqlite:////var/lib/service.db"}, tmp_path)

    assert [
        "APP_ENV: expected one of development, test, staging, production, got 'prod' (from .env)",
        "PORT: expected a whole number from 0 to 65535, got 'x' (from environment)",
        "ALLOWED_HOSTS: missing; production needs the host names that clients use, such as api.example.com (not set)",
        "DEBUG: true is rejected in production (from .env.production)",
    ] == lines


@pytest.mark.parametrize("app_env", ["dev", "develop", "tests"])
def test_a_misspelt_environment_of_developers_is_not_checked_as_production(tmp_path: Path, app_env: str) -> None:
    assert ["APP_ENV"] == [line.partition(":")[0] for line in rejected({"APP_ENV": app_env}, tmp_path)]


@pytest.mark.parametrize("app_env", ["zzz", "../secrets", "production/../../x"])
def test_an_environment_that_resembles_none_is_checked_as_production(tmp_path: Path, app_env: str) -> None:
    lines = rejected({"APP_ENV": app_env}, tmp_path)

    assert ["APP_ENV", "ALLOWED_HOSTS", "DATABASE_URL"] == [line.partition(":")[0] for line in lines]


def test_the_file_of_an_environment_cannot_choose_another_one(tmp_path: Path) -> None:
    write(tmp_path, ".env.test", "APP_ENV=staging\n")

    assert [
        "APP_ENV: this file is read when APP_ENV is test, and cannot set it to 'staging' (from .env.test)"
    ] == rejected({"APP_ENV": "test"}, tmp_path)


def test_the_file_of_an_environment_may_repeat_its_name(tmp_path: Path) -> None:
    write(tmp_path, ".env.test", "APP_ENV=test\n")

    assert settings_from(tmp_path, APP_ENV="test").server.app_env == "test"


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("DATABSE_URL", "DATABASE_URL"),
        ("DATABASE_URL_FLIE", "DATABASE_URL_FILE"),
        ("PROT", "PORT"),
        ("port", "PORT"),
        ("ALLOWED_HOST", "ALLOWED_HOSTS"),
        ("DB_POOL_TIMEOUT", "DB_POOL_TIMEOUT_SECONDS"),
    ],
)
def test_a_name_that_is_nearly_a_setting_is_warned_about_once(tmp_path: Path, name: str, meant: str) -> None:
    write(tmp_path, ".env", f"{name}=1\n{name}=2\n")
    write(tmp_path, ".env.development", f"{name}=3\n")

    assert (f".env: {name!r} is not a setting; did you mean {meant!r}?",) == settings_from(tmp_path).warnings


@pytest.mark.parametrize("name", ["POSTGRES_PASSWORD", "TEST_DATABASE_URL", "PUBLISHED_PORT", "COMPOSE_PROJECT_NAME"])
def test_a_name_of_another_program_is_welcome_in_the_file(tmp_path: Path, name: str) -> None:
    write(tmp_path, ".env", f"{name}=1\n")

    assert () == settings_from(tmp_path).warnings


OTHER_NAMES = [("REDIS_HOST", "REDIS_URL"), ("REDIS_PASSWORD", "REDIS_URL"), ("CLIENT_URL", "CORS_ORIGINS")]


@pytest.mark.parametrize(("name", "meant"), OTHER_NAMES)
def test_what_other_services_call_a_setting_is_warned_about_wherever_it_stands(
    tmp_path: Path, name: str, meant: str
) -> None:
    warning = f"{{}}: {name!r} is not a setting; did you mean {meant!r}?"
    value = {"REDIS_URL": "redis://cache", "CORS_ORIGINS": "https://app.example.com"}[meant]
    assert (warning.format("environment"),) == settings_from(tmp_path, **{name: "canary"}).warnings
    for file in (".env", ".env.development"):
        write(tmp_path, file, f"{name}=canary\n")
        assert (warning.format(file),) == settings_from(tmp_path).warnings
    assert () == settings_from(tmp_path, **{meant: value}).warnings


def test_a_name_of_a_setting_that_the_service_does_not_have_is_not_suggested(tmp_path: Path) -> None:
    assert () == settings_from(tmp_path, JWT_EXPIRES_IN="15m").warnings


def test_a_name_in_the_real_environment_is_never_warned_about(tmp_path: Path) -> None:
    assert () == settings_from(tmp_path, DATABSE_URL="x").warnings


def test_warnings_follow_the_problems_because_they_often_explain_one(tmp_path: Path) -> None:
    write(tmp_path, ".env", "ALOWED_HOSTS=api.example.com\n")

    with pytest.raises(SettingsError) as caught:
        load_settings({"APP_ENV": "staging", "DATABASE_URL": "sqlite:////var/lib/service.db"}, tmp_path)

    assert [
        "ALLOWED_HOSTS: missing; staging needs the host names that clients use, such as api.example.com (not set)",
        "warning: .env: 'ALOWED_HOSTS' is not a setting; did you mean 'ALLOWED_HOSTS'?",
    ] == str(caught.value).splitlines()


@pytest.mark.parametrize(
    ("app_env", "mode", "expected"), [("production", 0o644, 1), ("production", 0o640, 0), ("development", 0o644, 0)]
)
def test_a_file_that_every_user_can_read_is_warned_about_where_it_counts(
    tmp_path: Path, app_env: str, mode: int, expected: int
) -> None:
    write(tmp_path, ".env", "ALLOWED_HOSTS=api.example.com\n").chmod(mode)

    warnings = settings_from(tmp_path, APP_ENV=app_env, DATABASE_URL=URL).warnings

    assert [".env: every user of this machine can read it; chmod 600 .env"] * expected == list(warnings)


@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
def test_a_secret_is_read_from_the_file_that_is_named_without_its_newline(tmp_path: Path, ending: str) -> None:
    secret = tmp_path / "url"
    secret.write_bytes(f"{URL}{ending}".encode())

    for path in (str(secret), "url"):
        assert URL == settings_from(tmp_path, DATABASE_URL_FILE=path).database.url.get_secret_value()


def test_a_wrong_value_in_a_secret_file_names_the_file_variable_and_not_the_value(tmp_path: Path) -> None:
    write(tmp_path, "url", f"mysql://service:{PASSWORD}@db/x")

    lines = rejected({"DATABASE_URL_FILE": "url"}, tmp_path)

    assert [True] == [line.endswith("(from file named by DATABASE_URL_FILE)") for line in lines]
    assert PASSWORD not in lines[0]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"\xff", "does not hold UTF-8 text"),
        (b"x" * 65_537, "is longer than 64 KiB"),
    ],
)
def test_a_secret_file_that_cannot_be_used_is_named(tmp_path: Path, content: bytes | None, reason: str) -> None:
    path = tmp_path / "url"
    if content is not None:
        path.write_bytes(content)

    assert [f"DATABASE_URL_FILE: {str(path)!r} {reason} (from environment)"] == rejected(
        {"DATABASE_URL_FILE": str(path)}, tmp_path
    )


def test_a_secret_beside_the_name_of_its_file_is_rejected_wherever_they_stand(tmp_path: Path) -> None:
    write(tmp_path, "url", URL)
    write(tmp_path, ".env", f"DATABASE_URL={URL}\n")

    lines = rejected({"DATABASE_URL_FILE": "url"}, tmp_path)

    assert ["DATABASE_URL_FILE: DATABASE_URL is set too (from .env); keep one of them (from environment)"] == lines


def test_an_address_in_the_place_of_a_path_is_not_shown(tmp_path: Path) -> None:
    lines = rejected({"DATABASE_URL_FILE": URL}, tmp_path)

    assert [
        "DATABASE_URL_FILE: expected the path of a file that holds DATABASE_URL, got a URL (from environment)"
    ] == lines


@pytest.mark.parametrize("quote", ['"', "'"])
def test_quotes_that_docker_keeps_are_taken_off_and_named(tmp_path: Path, quote: str) -> None:
    read = read_environment(
        {"A": f"{quote}a value{quote}", "B": f"{quote}b", "C": f"{quote}x{quote} or {quote}y{quote}"},
        tmp_path,
        names=frozenset("ABC"),
        secrets=frozenset("A"),
    )

    assert {"A": "a value", "B": f"{quote}b", "C": f"{quote}x{quote} or {quote}y{quote}"} == {
        name: given.text for name, given in read.values.items()
    }
    assert ["A: the quotes"] == [warning[:13] for warning in read.warnings]


def test_a_byte_order_mark_is_no_part_of_a_value(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"\xef\xbb\xbfhunter2\r\n")
    (tmp_path / ".env").write_bytes(b"\xef\xbb\xbfB=b\n")
    read = read_environment({"A_FILE": "secret"}, tmp_path, names=frozenset("AB"), secrets=frozenset("A"))

    assert {"A": "hunter2", "B": "b"} == {name: given.text for name, given in read.values.items()}
