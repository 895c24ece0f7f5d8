from __future__ import annotations

import orjson
import pytest
from pydantic import TypeAdapter, ValidationError

from acme_service.chassis.logs.assignments import is_secret_name
from acme_service.chassis.logs.masking import Masker

KNOWN = "correct horse/battery"
MASKER = Masker([KNOWN, "postgresql://app:p%40ssw0rd!@db:5432/app"])


def masked(**fields: object) -> object:
    data = orjson.dumps(fields)
    return MASKER.masked(orjson.loads(data)) if MASKER.suspects(data) else orjson.loads(data)


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "new_password",
        "password2",
        "pwd",
        "userPassword",
        "DB_PASSWORD",
        "client_secret",
        "token",
        "access_token",
        "refreshToken",
        "authorization",
        "Proxy-Authorization",
        "cookie",
        "Set-Cookie",
        "api_key",
        "apiKey",
        "X-API-Key",
        "private_key",
        "dsn",
        "credentials",
        "password_hash",
    ],
)
def test_a_field_named_like_a_secret_is_masked_at_any_depth(name: str) -> None:
    nested: dict[str, object] = {name: ["hunter2"]}

    assert {name: "***"} == masked(**{name: "hunter2"})
    assert {"a": [{name: "***"}]} == masked(a=[nested])


@pytest.mark.parametrize(
    "name",
    ["tokens_used", "token_count", "token_type", "expires_in", "key", "keyboard", "author", "cookie_count", "pass"],
)
def test_a_field_that_only_resembles_a_secret_stays_readable(name: str) -> None:
    assert {name: "hunter2"} == masked(**{name: "hunter2"})


def test_a_number_of_tokens_stays_readable_and_a_numeric_password_does_not() -> None:
    expected = {"prompt_tokens": 12, "password_changed": True, "token": None, "password": "***"}

    assert expected == masked(prompt_tokens=12, password_changed=True, token=None, password=12)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("postgresql://u:hunter2@h:5432/d", "postgresql://u:***@h:5432/d"),
        ("redis://:hunter2@h", "redis://:***@h"),
        ("amqp://u:p@hunter2/x@h", "amqp://u:***@h"),
        ("https://0123456789abcdef@example.org", "https://***@example.org"),
        ("Bearer abcDEF123", "Bearer ***"),
        ("bearer 0123456789abcdef.x", "bearer ***"),
        ("Authorization: Basic dXNlcjpwYXNz", "Authorization: ***"),
        ("Cookie: a=b; session=hunter2", "Cookie: ***"),
        ("got eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "got ***"),
        ("hash $argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA", "hash ***"),
        ("password=hunter2 host=h", "password=*** host=h"),
        ("PGPASSWORD=hunter2", "PGPASSWORD=***"),
        ("?token=hunter2&page=1", "?token=***&page=1"),
        ("{'password': 'hunter2', 'a': 1}", "{'password': '***', 'a': 1}"),
        ('{"api_key": "hunter2"}', '{"api_key": "***"}'),
        ('"{\\"secret\\": \\"hunter2\\"}"', '"{\\"secret\\": "***"}"'),
        ("SignIn(password='hunter\\'2')", "SignIn(password='***')"),
        ("[(b'cookie', b'hunter2')]", "[(b'cookie', '***')]"),
        ("passwords=['hunter2', 'hunter3']", "passwords=***"),
        ("client_secret: hunter2", "client_secret: ***"),
        ("a correct horse/battery b", "a *** b"),
        ("a correct%20horse%2fbattery b", "a *** b"),
        ("a p@ssw0rd! b p%40ssw0rd! c", "a *** b *** c"),
        ("pass=hunter2", "pass=***"),
        ("db_pass=hunter2&x=1", "db_pass=***&x=1"),
        ("otp=123456", "otp=***"),
        ("otp: 123456", "otp: ***"),
        ("user pin=1234 ok", "user pin=*** ok"),
        ("pw=hunter2", "pw=***"),
        ("{'pass': 'hunter2'}", "{'pass': '***'}"),
        ("run --password hunter2 --verbose", "run --password *** --verbose"),
        ("run --api-key 'hunter2 hunter3' x", "run --api-key *** x"),
        ("--token hunter2", "--token ***"),
        ("['--password', 'hunter2']", "['--password', '***']"),
        ("get(url, auth=('ada', 'hunter2'))", "get(url, auth=***)"),
        ("next=/x%3Fpassword%3Dhunter2%26page%3D1", "next=/x%3Fpassword%3D***%26page%3D1"),
        ("x%3Fpass%3Dhunter2", "x%3Fpass%3D***"),
        ("x%253Ftoken%253Dhunter2%2526a", "x%253Ftoken%253D***%2526a"),
        ("%7B%22password%22%3A%22hunter2%22%7D", "%7B%22password%22%3A%22***%22%7D"),
        ("ALTER USER ada WITH PASSWORD 'hunter2'", "ALTER USER ada WITH PASSWORD '***'"),
        ("token_count=1,password=hunter2", "token_count=1,password=***"),
        ("token_type=[password=hunter2]", "token_type=[password=***"),
        ("a://u:hunter2@h,b://0123456789abcdef@h", "a://u:***@h"),
        ("-----BEGIN PRIVATE KEY-----\nhunter2", "-----BEGIN PRIVATE KEY-----***"),
    ],
)
def test_a_secret_inside_a_text_is_masked(text: str, expected: str) -> None:
    assert {"event": expected} == masked(event=text)


def test_what_pydantic_quotes_of_a_wrong_value_is_masked() -> None:
    with pytest.raises(ValidationError) as rejected:
        TypeAdapter(list[int]).validate_python(["hunter2"])

    assert "hunter2" in str(rejected.value)
    assert "hunter2" not in str(masked(event=str(rejected.value)))


def test_a_private_key_is_masked_to_its_end() -> None:
    text = "-----BEGIN RSA PRIVATE KEY-----\nhunter2\nhunter3\n-----END RSA PRIVATE KEY-----"

    assert "hunter" not in str(masked(event=text))


@pytest.mark.parametrize(
    "text",
    [
        "/api/token/refresh",
        "/api/users/1?page=2&limit=20",
        "https://example.org:8443/path?mail=a@b.org",
        "ssh://git@example.org/repository",
        "Basic authentication is required",
        "tokens_used=12, token_type=bearer",
        "prompt_tokens: 12",
        "the password is too short",
        "key=value",
        "2026-11-23T10:00:00Z",
        "author: Ada",
        "password=None",
        "JWT_SECRET: not set, so a random one is used and every restart ends all sessions",
        "JWT_SECRET: it is shorter than 32 bytes; expected 32 bytes or more of random text (from .env)",
        "DATABASE_PASSWORD: missing; expected a text (not set)",
        "tests: 3 passed, 1 skipped",
        "bypass=1, shipping=2, pins: 3",
        "auth=yes",
        "run --verbose --token-count 3",
        "/api/users%3Fpage%3D1",
        "eyJ is how they begin, and eyJhbGciOiJIUzI1NiJ9 has no dot",
        "----- a line -----",
    ],
)
def test_a_text_without_a_secret_stays_as_it_is(text: str) -> None:
    assert {"event": text} == masked(event=text)


def test_a_header_pair_is_masked_as_frameworks_keep_it() -> None:
    assert {"headers": [["cookie", "***"], ["accept", "a"]]} == masked(headers=[["cookie", "a=b"], ["accept", "a"]])


def test_a_short_secret_or_a_common_word_is_not_searched_for() -> None:
    masker = Masker(["abc", "postgres"])

    assert "abc postgresql" == masker.text("abc postgresql")


def test_a_quick_all_clear_is_never_given_to_what_would_be_masked() -> None:
    secrets = ["eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "/a/token=hunter2", "/a/correct%20horse%2Fbattery"]

    assert [False, False, False] == [MASKER.clears(text) for text in secrets]
    assert MASKER.clears("/api/users/123")


@pytest.mark.parametrize("name", ["token_count", "x", "password_file"])
def test_a_long_chain_of_assignments_is_read_to_its_end(name: str) -> None:
    assert MASKER.text(f"{name}=" * 2_000 + "password=hunter2").endswith("password=***")


def test_the_name_of_a_secret_is_found_by_its_words() -> None:
    assert is_secret_name("accessToken")
    assert not is_secret_name("")
