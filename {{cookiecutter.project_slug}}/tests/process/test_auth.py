"""Authenticated users against a running service: what is promised, over real HTTP."""

from __future__ import annotations

import base64
import hmac
import json
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from {{ cookiecutter.package_name }} import SERVICE_NAME

from .auth import KEY, PASSWORD, UNLIMITED, AuthCommand, Person, bearer, console, forged, log_in, payload_of, refresh
from .service import read_answer, request

MISSING_ID = "01890000-0000-7000-8000-000000000000"
ORIGIN = "https://app.example.com"
SIGMA = "\N{GREEK SMALL LETTER SIGMA}"
"""A letter with another form at the end of a word, which `lower` writes for its capital there."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Path:
    folder = tmp_path_factory.mktemp("auth")
    shutil.copy(sqlite_template, folder / "service.db")
    return folder


@pytest.fixture(scope="module")
def service(place: Path) -> Iterator[AuthCommand]:
    with AuthCommand(place, APP_ENV="test", JWT_SECRET=KEY, CORS_ORIGINS=ORIGIN, **UNLIMITED) as running:
        yield running


@pytest.fixture(scope="module")
def client(service: AuthCommand) -> Iterator[httpx2.Client]:
    with service.client() as opened:
        yield opened


@pytest.fixture(scope="module")
def ada(client: httpx2.Client) -> Person:
    return Person(client)


@pytest.fixture(scope="module")
def superadmin(client: httpx2.Client, place: Path) -> Person:
    made = console(place, "create-admin", "root@example.com", entered=f"{PASSWORD}\n", JWT_SECRET=KEY)
    assert (0, "superadmin") == (made.returncode, json.loads(made.stdout.splitlines()[-1])["role"]), made.stderr
    return Person(client, "root@example.com")


@pytest.fixture(scope="module")
def admin(client: httpx2.Client, superadmin: Person) -> Person:
    return promoted(Person(client), superadmin, "admin")


def promoted(person: Person, by: Person, role: str) -> Person:
    assert 200 == by.send("PATCH", f"/api/admin/users/{person.id}", {"role": role}).status_code
    person.log_in()
    return person


def problem(answer: httpx2.Response) -> dict[str, Any]:
    """The problem details without its instance, which differs each time."""
    document: dict[str, Any] = answer.json()
    assert "application/problem+json" == answer.headers["content-type"]
    assert answer.headers["x-request-id"] == document.pop("instance")
    return document


def part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def signed(head: str, payload: str) -> str:
    """A token with our signature over any *payload*."""
    text = f"{head}.{base64.urlsafe_b64encode(payload.encode()).decode().rstrip('=')}"
    signature = hmac.digest(KEY.encode(), text.encode(), "sha256")
    return f"{text}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


def told(service: AuthCommand, answer: httpx2.Response) -> list[dict[str, Any]]:
    """What the log `security` says about the request, once its access line is there."""
    request_id = answer.headers["x-request-id"]
    service.line("request", request_id=request_id)
    return [line for line in service.lines if (line["logger"], line.get("request_id")) == ("security", request_id)]


def test_register_log_in_refresh_and_log_out(client: httpx2.Client) -> None:
    body = {"name": "Grace", "email": f"Grace{SIGMA.upper()}@Example.com", "password": PASSWORD}
    registered = client.post("/api/auth/register", json=body)
    pair = log_in(client, f"GRACE{SIGMA}@example.COM").json()
    me = client.get("/api/auth/me", headers=bearer(pair["access_token"])).json()
    refreshed = refresh(client, pair["refresh_token"])
    left = client.post("/api/auth/logout", headers=bearer(refreshed.json()["access_token"]))

    assert 201 == registered.status_code
    assert f"/api/users/{registered.json()['id']}" == registered.headers["location"]
    assert {"access_token", "refresh_token", "token_type", "expires_in"} == set(pair) == set(refreshed.json())
    assert ("Bearer", 900) == (pair["token_type"], pair["expires_in"])
    assert registered.json() | {"role": "user", "active": True} == me
    assert (204, b"") == (left.status_code, left.content)
    for token in (pair["access_token"], refreshed.json()["access_token"]):
        assert 401 == client.get("/api/auth/me", headers=bearer(token)).status_code
    assert 401 == refresh(client, refreshed.json()["refresh_token"]).status_code


def test_a_logout_ends_its_own_session_alone(client: httpx2.Client) -> None:
    person = Person(client)
    elsewhere = log_in(client, person.email).json()
    person.send("POST", "/api/auth/logout")

    assert 401 == person.get("/api/auth/me").status_code
    assert 200 == client.get("/api/auth/me", headers=bearer(elsewhere["access_token"])).status_code


def test_a_token_has_every_claim_and_lives_as_long_as_is_said(ada: Person) -> None:
    payload = payload_of(ada.tokens["access_token"])

    assert {"iss", "aud", "sub", "iat", "exp", "jti", "sid", "token_version"} == set(payload)
    assert (SERVICE_NAME, SERVICE_NAME, ada.id) == (payload["iss"], payload["aud"], payload["sub"])
    assert 900 == payload["exp"] - payload["iat"]


def broken_tokens(person: Person) -> dict[str, str]:
    token = person.tokens["access_token"]
    head, payload, signature = token.split(".")
    claims = payload_of(token)
    now = int(time.time())
    return {
        "no token": "abc",
        "alg none": f"{part({'alg': 'none', 'typ': 'JWT'})}.{payload}.",
        "alg None with our signature": f"{part({'alg': 'None', 'typ': 'JWT'})}.{payload}.{signature}",
        "RS256 with our signature": f"{part({'alg': 'RS256', 'typ': 'JWT'})}.{payload}.{signature}",
        "HS384": forged(token, algorithm="HS384"),
        "HS512": forged(token, algorithm="HS512"),
        "another key": forged(token, key="k" * 48),
        "a flipped byte of the signature": f"{head}.{payload}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}",
        "another payload": f"{head}.{part(claims | {'sub': MISSING_ID})}.{signature}",
        "an empty signature": f"{head}.{payload}.",
        "two parts": f"{head}.{payload}",
        **{f"without {name}": forged(token, claims={name: None}) for name in claims},
        "expired": forged(token, claims={"iat": now - 1000, "exp": now - 100}),
        "exp 10**400": forged(token, claims={"exp": 10**400}),
        "exp of 5,000 digits": signed(head, json.dumps(claims | {"exp": "@"}).replace('"@"', "9" * 5000)),
        "exp a text": forged(token, claims={"exp": "9999999999"}),
        "a life longer than ours": forged(token, claims={"exp": now + 10_000_000}),
        "a life longer than ours, nearly over": forged(token, claims={"iat": now - 100_000, "exp": now + 100}),
        "iat in the future": forged(token, claims={"iat": now + 600, "exp": now + 700}),
        "iat a text": forged(token, claims={"iat": "abc"}),
        "NUL in sub": forged(token, claims={"sub": "a\0"}),
        "half a surrogate pair in sub": forged(token, claims={"sub": "\ud800"}),
        "NUL in sid": forged(token, claims={"sid": "a\0"}),
        "another issuer": forged(token, claims={"iss": "other"}),
        "another audience": forged(token, claims={"aud": "other"}),
        "a list of audiences": forged(token, claims={"aud": [SERVICE_NAME, "other"]}),
        "sub a number": forged(token, claims={"sub": 1}),
        "token_version a number": forged(token, claims={"token_version": 1}),
        "another token_version": forged(token, claims={"token_version": "0" * 18}),
        "another session": forged(token, claims={"sid": MISSING_ID}),
        "a user who is not there": forged(token, claims={"sub": MISSING_ID}),
        "a refresh token": person.tokens["refresh_token"],
        "too long": "a" * 5000,
        "not ASCII": "é.é.é",
    }


def test_a_token_that_is_not_ours_is_rejected_and_changes_nothing(client: httpx2.Client, ada: Person) -> None:
    for name, token in broken_tokens(ada).items():
        answer = client.get("/api/auth/me", headers=[(b"Authorization", f"Bearer {token}".encode())])

        assert 401 == answer.status_code, name
        assert problem(answer)["type"].endswith(":unauthenticated"), name
        assert answer.headers["www-authenticate"].startswith("Bearer"), name
    assert 200 == ada.get("/api/auth/me").status_code


def test_an_access_token_buys_no_pair(client: httpx2.Client, ada: Person) -> None:
    assert 401 == refresh(client, ada.tokens["access_token"]).status_code
    assert 401 == refresh(client, "abc").status_code


def test_no_key_is_fetched_from_where_a_token_points(client: httpx2.Client, ada: Person) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.3)
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/keys"
        for name in ("jku", "x5u"):
            token = forged(ada.tokens["access_token"], key="k" * 48, headers={name: address, "kid": "../../dev/null"})
            assert 401 == client.get("/api/auth/me", headers=bearer(token)).status_code
        with pytest.raises(TimeoutError):
            listener.accept()


@pytest.mark.parametrize("header", ["Bearer", "Basic YTpi", "Token {}", "Bearer{}", "Bearer {} {}"])
def test_only_one_bearer_token_is_accepted(client: httpx2.Client, ada: Person, header: str) -> None:
    given = header.replace("{}", ada.tokens["access_token"])

    assert 401 == client.get("/api/auth/me", headers={"Authorization": given}).status_code


def test_two_authorization_headers_are_rejected(client: httpx2.Client, ada: Person) -> None:
    [pair] = ada.headers.items()

    assert 401 == client.get("/api/auth/me", headers=[pair, pair]).status_code


def test_a_token_in_the_address_is_none(client: httpx2.Client, ada: Person) -> None:
    assert 401 == client.get(f"/api/auth/me?access_token={ada.tokens['access_token']}").status_code


def test_a_used_refresh_token_ends_its_session(client: httpx2.Client, service: AuthCommand) -> None:
    person = Person(client)
    other = log_in(client, person.email).json()
    first = person.tokens
    second = refresh(client, first["refresh_token"]).json()
    reused = refresh(client, first["refresh_token"])

    assert 401 == reused.status_code
    assert ["token reused"] == [line["event"] for line in told(service, reused)]
    assert 401 == refresh(client, second["refresh_token"]).status_code
    for pair in (first, second):
        assert 401 == client.get("/api/auth/me", headers=bearer(pair["access_token"])).status_code
    assert 200 == client.get("/api/auth/me", headers=bearer(other["access_token"])).status_code


def test_a_new_password_ends_every_session_at_once(client: httpx2.Client) -> None:
    person = Person(client)
    elsewhere = log_in(client, person.email).json()
    body = {"current_password": PASSWORD, "new_password": "another horse entirely"}
    changed = person.send("POST", "/api/auth/password", body)

    assert (204, b"") == (changed.status_code, changed.content)
    for pair in (person.tokens, elsewhere):
        assert 401 == client.get("/api/auth/me", headers=bearer(pair["access_token"])).status_code
        assert 401 == refresh(client, pair["refresh_token"]).status_code
    assert 401 == log_in(client, person.email).status_code
    person.log_in("another horse entirely")
    assert 200 == person.get("/api/auth/me").status_code


def test_the_present_password_is_asked_for(client: httpx2.Client, ada: Person) -> None:
    wrong = ada.send("POST", "/api/auth/password", {"current_password": "wrong", "new_password": "another horse"})
    around = ada.send("PATCH", f"/api/users/{ada.id}", {"password": "another horse"})

    assert (422, "/current_password") == (wrong.status_code, problem(wrong)["errors"][0]["pointer"])
    assert (422, "/password") == (around.status_code, problem(around)["errors"][0]["pointer"])
    assert 200 == log_in(client, ada.email).status_code


def test_the_password_that_an_admin_sets_ends_every_session(client: httpx2.Client, admin: Person) -> None:
    person = Person(client)

    assert 200 == admin.send("PATCH", f"/api/users/{person.id}", {"password": "set by an admin"}).status_code
    assert 401 == person.get("/api/auth/me").status_code
    person.log_in("set by an admin")


def test_another_role_deactivation_and_deletion_end_every_session(client: httpx2.Client, superadmin: Person) -> None:
    for change in ({"role": "admin"}, {"active": False}, None):
        person = Person(client)
        assert 200 == person.get("/api/auth/me").status_code
        if change is None:
            assert 204 == superadmin.send("DELETE", f"/api/users/{person.id}").status_code
        else:
            assert 200 == superadmin.send("PATCH", f"/api/admin/users/{person.id}", change).status_code
        assert 401 == person.get("/api/auth/me").status_code, change
        assert 401 == refresh(client, person.tokens["refresh_token"]).status_code, change


def test_a_login_does_not_tell_unknown_wrong_and_deactivated_apart(client: httpx2.Client, superadmin: Person) -> None:
    person, locked_out = Person(client), Person(client)
    superadmin.send("PATCH", f"/api/admin/users/{locked_out.id}", {"active": False})
    answers = [
        log_in(client, "nobody@example.com"),
        log_in(client, person.email, "a wrong password"),
        log_in(client, locked_out.email),
        log_in(client, "no e-mail at all", "x"),
    ]

    assert {401} == {answer.status_code for answer in answers}
    assert 1 == len({json.dumps(problem(answer)) for answer in answers})
    ours = {"x-request-id", "date"}
    assert 1 == len({str(sorted((k, v) for k, v in a.headers.items() if k not in ours)) for a in answers})


def test_a_reactivated_account_logs_in_and_old_tokens_stay_dead(client: httpx2.Client, admin: Person) -> None:
    person = Person(client)
    for active in (False, True):
        admin.send("PATCH", f"/api/admin/users/{person.id}", {"active": active})

    assert 401 == person.get("/api/auth/me").status_code
    person.log_in()
    assert 200 == person.get("/api/auth/me").status_code


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
def test_what_belongs_to_another_looks_like_what_is_not_there(client: httpx2.Client, ada: Person, method: str) -> None:
    eve = Person(client)
    body = {"name": "Eve was here"} if method == "PATCH" else None
    others = eve.send(method, f"/api/users/{ada.id}", body)
    missing = eve.send(method, f"/api/users/{MISSING_ID}", body)

    assert (404, problem(missing)) == (others.status_code, problem(others))
    assert "Ada" == ada.get(f"/api/users/{ada.id}").json()["name"]


def test_an_owner_reads_changes_and_deletes_itself(client: httpx2.Client) -> None:
    person = Person(client)
    path = f"/api/users/{person.id}"

    assert 200 == person.get(path).status_code
    assert "New" == person.send("PATCH", path, {"name": "New"}).json()["name"]
    assert 204 == person.send("DELETE", path).status_code
    assert 401 == person.get(path).status_code


def test_only_a_superadmin_touches_admins_or_makes_one(
    client: httpx2.Client, superadmin: Person, admin: Person
) -> None:
    other = promoted(Person(client), superadmin, "admin")
    rejected = [
        admin.send("PATCH", f"/api/admin/users/{other.id}", {"active": False}),
        admin.send("PATCH", f"/api/admin/users/{superadmin.id}", {"role": "user"}),
        admin.send("PATCH", f"/api/admin/users/{Person(client).id}", {"role": "admin"}),
        admin.send("PATCH", f"/api/users/{superadmin.id}", {"password": "taken over now"}),
        admin.send("PATCH", f"/api/users/{other.id}", {"email": "mine@example.com"}),
        admin.send("DELETE", f"/api/users/{superadmin.id}"),
        admin.send("PATCH", f"/api/admin/users/{admin.id}", {"role": "superadmin"}),
        superadmin.send("PATCH", f"/api/admin/users/{superadmin.id}", {"active": False}),
    ]

    assert [403] * len(rejected) == [answer.status_code for answer in rejected]
    assert {"forbidden"} == {problem(answer)["type"].rpartition(":")[2] for answer in rejected}
    assert ("superadmin", True) == tuple(superadmin.get("/api/auth/me").json()[name] for name in ("role", "active"))
    assert 200 == other.get("/api/auth/me").status_code


def test_admins_list_accounts_by_page_and_by_cursor(admin: Person) -> None:
    page = admin.get("/api/admin/users?limit=2").json()
    cursor = admin.get("/api/admin/users?cursor=&limit=2").json()

    assert {"id", "name", "email", "role", "active", "created_at", "updated_at"} == set(page["items"][0])
    assert page["items"] == cursor["items"]
    assert page["pagination"]["total_items"] > 2
    assert admin.get(f"/api/admin/users?cursor={cursor['next_cursor']}").json()["items"][0] not in page["items"]


@pytest.mark.parametrize(
    "body",
    [{}, {"role": "king"}, {"role": 1}, {"active": "no"}, {"active": None}, {"version": 7}, {"token_version": "x"}, []],
)
def test_a_wrong_change_of_an_account_is_rejected(admin: Person, ada: Person, body: object) -> None:
    assert 422 == admin.send("PATCH", f"/api/admin/users/{ada.id}", body).status_code
    assert ("user", True) == tuple(ada.get("/api/auth/me").json()[name] for name in ("role", "active"))


def test_an_account_that_is_not_there_is_not_found(admin: Person) -> None:
    assert 404 == admin.send("PATCH", f"/api/admin/users/{MISSING_ID}", {"active": False}).status_code


@pytest.mark.parametrize("field", ["role", "id", "is_active", "active", "created_at", "password_hash", "token_version"])
def test_nobody_assigns_what_is_not_offered(client: httpx2.Client, ada: Person, field: str) -> None:
    before = ada.get(f"/api/users/{ada.id}").json()
    body = {"name": "Eve", "email": f"eve-{field.replace('_', '-')}@example.com", "password": PASSWORD, field: "admin"}
    registered = client.post("/api/auth/register", json=body)
    changed = ada.send("PATCH", f"/api/users/{ada.id}", {"name": "Eve", field: "admin"})

    assert (422, 422) == (registered.status_code, changed.status_code)
    assert 401 == log_in(client, body["email"]).status_code
    assert before == ada.get(f"/api/users/{ada.id}").json()


@pytest.mark.parametrize(
    ("password", "status"),
    [
        ("seven77", 422),
        ("password1", 422),
        ("Football", 422),
        ("x" * 1025, 422),
        ("x" * 1_100_000, 413),
        ("🐴 and sixty-four characters of any script, ünd nothing else at all 🐴", 201),
        ("aaaaaaab", 201),
    ],
    ids=["short", "common", "common in another case", "long", "1 MB", "64 and more", "no composition rule"],
)
def test_passwords_are_judged_by_length_and_by_being_common(client: httpx2.Client, password: str, status: int) -> None:
    body = {"name": "Pat", "email": f"pat{len(password)}@example.com", "password": password}

    assert status == client.post("/api/auth/register", json=body).status_code


def test_a_rejection_has_the_headers_of_every_answer_and_can_be_read_by_our_pages(client: httpx2.Client) -> None:
    answer = client.get("/api/auth/me", headers={"Origin": ORIGIN})
    elsewhere = client.get("/api/auth/me", headers={"Origin": "https://evil.example"})

    assert (401, ORIGIN) == (answer.status_code, answer.headers["access-control-allow-origin"])
    assert "access-control-allow-origin" not in elsewhere.headers
    for name in ("x-content-type-options", "cache-control", "content-security-policy", "referrer-policy"):
        assert name in answer.headers


def test_each_security_event_is_told_once_with_user_address_and_outcome(
    client: httpx2.Client, service: AuthCommand, superadmin: Person, admin: Person
) -> None:
    own = superadmin.id
    body = {"name": "Ada", "email": "told@example.com", "password": PASSWORD}
    registered = client.post("/api/auth/register", json=body)
    user = registered.json()["id"]
    entered = log_in(client, "told@example.com")
    token = bearer(entered.json()["access_token"])
    account = f"/api/admin/users/{user}"
    password = {"current_password": "wrong", "new_password": "another horse"}
    expected = [
        (registered, "registered", user, "ok"),
        (entered, "login", user, "ok"),
        (log_in(client, "told@example.com", "wrong"), "login failed", user, "rejected"),
        (log_in(client, "nobody@example.com", "wrong"), "login failed", "", "rejected"),
        (client.get("/api/auth/me"), "access denied", "", "rejected"),
        (client.get("/api/auth/me", headers=bearer("abc")), "access denied", "", "rejected"),
        (client.get("/api/users", headers=token), "access denied", user, "rejected"),
        (client.get(f"/api/users/{MISSING_ID}", headers=token), "access denied", user, "rejected"),
        (client.post("/api/auth/password", json=password, headers=token), "password change rejected", user, "rejected"),
        (
            client.patch(f"/api/users/{user}", json={"password": "x" * 8}, headers=token),
            "access denied",
            user,
            "rejected",
        ),
        (
            client.patch(f"/api/users/{user}", json={"email": "t@example.com"}, headers=token),
            "e-mail changed",
            user,
            "changed",
        ),
        (client.post("/api/auth/logout", headers=token), "logout", user, "ok"),
        (superadmin.send("PATCH", account, {"role": "admin"}), "role changed", user, "changed"),
        (superadmin.send("PATCH", account, {"active": False}), "account deactivated", user, "changed"),
        (superadmin.send("PATCH", account, {"active": True}), "account activated", user, "changed"),
        (superadmin.send("PATCH", f"/api/users/{user}", {"password": "x" * 8}), "password changed", user, "changed"),
        (superadmin.send("DELETE", f"/api/users/{user}"), "user deleted", user, "changed"),
        (superadmin.send("PATCH", f"/api/admin/users/{own}", {"active": False}), "access denied", own, "rejected"),
        (admin.send("PATCH", f"/api/admin/users/{own}", {"active": False}), "access denied", admin.id, "rejected"),
    ]

    for answer, event, who, outcome in expected:
        [line] = told(service, answer)
        assert (event, who, outcome, "127.0.0.1") == tuple(line[n] for n in ("event", "user", "outcome", "client"))


def test_no_password_and_no_token_is_ever_logged(tmp_path: Path, sqlite_template: Path) -> None:
    shutil.copy(sqlite_template, tmp_path / "service.db")
    with AuthCommand(tmp_path, JWT_SECRET=KEY, LOG_LEVEL="debug", **UNLIMITED) as service, service.client() as client:
        person = Person(client)
        client.get(f"/api/auth/me?access_token={person.tokens['access_token']}")
        refresh(client, person.tokens["refresh_token"])
        log_in(client, person.email, "canary-password")
        client.post("/api/auth/register", json={"name": "x", "email": "x", "password": "canary-password"})
        person.send("POST", "/api/auth/password", {"current_password": "canary-password", "new_password": "canary"})
        service.signal()
        assert 0 == service.exit_code(within_seconds=10)
        service.events()
        output = json.dumps(service.lines) + service.stderr()

    assert "login failed" in output
    for secret in (PASSWORD, "canary", KEY, person.tokens["access_token"], person.tokens["refresh_token"], "argon2"):
        assert secret not in output


def test_the_sixth_try_in_a_minute_is_rejected_and_elsewhere_the_right_password_works(
    tmp_path: Path, sqlite_template: Path
) -> None:
    shutil.copy(sqlite_template, tmp_path / "service.db")
    with AuthCommand(tmp_path, JWT_SECRET=KEY, TRUSTED_PROXIES="127.0.0.1") as service, service.client() as client:
        person = Person(client, "victim@example.com")
        tries = [log_in(client, person.email, "wrong") for _ in range(6)]
        right = log_in(client, person.email)
        elsewhere = log_in(client, person.email, **{"X-Forwarded-For": "203.0.113.7"})
        [line] = told(service, tries[5])

    assert [401] * 5 + [429] == [answer.status_code for answer in tries]
    assert 0 < int(tries[5].headers["retry-after"]) <= 60
    assert problem(tries[5])["type"].endswith(":too-many-requests")
    assert (429, 200) == (right.status_code, elsewhere.status_code)
    assert ("rate limit hit", "account and address") == (line["event"], line["limit"])


def test_one_subscriber_of_ipv6_has_the_tries_of_one_address(tmp_path: Path, sqlite_template: Path) -> None:
    shutil.copy(sqlite_template, tmp_path / "service.db")
    with AuthCommand(tmp_path, JWT_SECRET=KEY, TRUSTED_PROXIES="127.0.0.1") as service, service.client() as client:
        network = [log_in(client, "a@example.com", "x", **{"X-Forwarded-For": f"2001:db8::{n}"}) for n in range(1, 7)]
        mapped = [
            log_in(client, "b@example.com", "x", **{"X-Forwarded-For": f"::ffff:203.0.113.{n}"}) for n in range(6)
        ]
        odd = log_in(client, "c@example.com", "x", **{"X-Forwarded-For": "2001:db8::g"})

    assert [401] * 5 + [429] == [answer.status_code for answer in network]
    assert [401] * 6 == [answer.status_code for answer in mapped]
    assert 401 == odd.status_code


def test_a_body_that_took_its_time_is_rejected_when_its_sender_was_locked_out_meanwhile(
    service: AuthCommand, client: httpx2.Client, admin: Person
) -> None:
    person = Person(client)
    body = b'{"name": "Late"}'
    head = request(
        f"/api/users/{person.id}",
        "PATCH",
        f"Authorization: {person.headers['Authorization']}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    )
    with service.connect() as slow:
        slow.sendall(head + body[:5])
        time.sleep(1.1)
        admin.send("PATCH", f"/api/admin/users/{person.id}", {"active": False})
        slow.sendall(body[5:])

        assert 401 == read_answer(slow).status
    assert "Ada" == admin.get(f"/api/users/{person.id}").json()["name"]


def test_a_login_with_what_is_no_text_is_rejected(client: httpx2.Client) -> None:
    assert 422 == log_in(client, "a\0b@example.com").status_code


def test_a_forged_address_and_many_accounts_do_not_escape_the_limits(tmp_path: Path, sqlite_template: Path) -> None:
    shutil.copy(sqlite_template, tmp_path / "service.db")
    with AuthCommand(tmp_path, JWT_SECRET=KEY) as service, service.client() as client:
        one = [log_in(client, "a@example.com", "x", **{"X-Forwarded-For": f"203.0.113.{n}"}) for n in range(6)]
        many = [log_in(client, f"b{n}@example.com", "x") for n in range(25)]

    assert [401] * 5 + [429] == [answer.status_code for answer in one]
    assert [401] * 24 + [429] == [answer.status_code for answer in many]


def test_a_right_password_begins_anew(tmp_path: Path, sqlite_template: Path) -> None:
    shutil.copy(sqlite_template, tmp_path / "service.db")
    with AuthCommand(tmp_path, JWT_SECRET=KEY) as service, service.client() as client:
        person = Person(client)
        for _ in range(2):
            assert [401] * 4 == [log_in(client, person.email, "wrong").status_code for _ in range(4)]
            person.log_in()


def test_the_key_is_replaced_without_logging_anybody_out(tmp_path: Path, sqlite_template: Path) -> None:
    shutil.copy(sqlite_template, tmp_path / "service.db")
    new = KEY[::-1]
    with AuthCommand(tmp_path, JWT_SECRET=KEY) as service, service.client() as client:
        token = Person(client).headers
    with (
        AuthCommand(tmp_path, JWT_SECRET=new, JWT_SECRET_PREVIOUS=KEY) as service,
        service.client() as client,
    ):
        assert 200 == client.get("/api/auth/me", headers=token).status_code
        renewed = Person(client).headers
    with AuthCommand(tmp_path, JWT_SECRET=new) as service, service.client() as client:
        assert 401 == client.get("/api/auth/me", headers=token).status_code
        assert 200 == client.get("/api/auth/me", headers=renewed).status_code


@pytest.mark.parametrize(
    ("key", "reason"),
    [("", "missing"), ("a-short-one", "shorter than 32 bytes"), ("change-me" * 5, "sample"), ("ab" * 20, "different")],
)
def test_production_rejects_a_missing_or_weak_key(tmp_path: Path, key: str, reason: str) -> None:
    production = {"APP_ENV": "production", "ALLOWED_HOSTS": "api.example.com", "JWT_SECRET": key}
    rejected = console(tmp_path, "serve", **production)

    assert (78, "") == (rejected.returncode, rejected.stdout)
    [line] = rejected.stderr.splitlines()
    assert line.startswith("JWT_SECRET: ")
    assert reason in line
    assert not key or key not in line


def test_the_example_file_is_rejected_as_it_is(tmp_path: Path) -> None:
    rejected = console(tmp_path, "config", "--check", JWT_SECRET="generate:48")

    assert (78, True) == (rejected.returncode, "shorter than 32 bytes" in rejected.stderr)


def test_development_warns_of_a_key_that_no_restart_survives(tmp_path: Path) -> None:
    assert "JWT_SECRET" in console(tmp_path, "config").stderr


def test_production_limits_each_client(tmp_path: Path) -> None:
    production = {"APP_ENV": "production", "ALLOWED_HOSTS": "api.example.com", "JWT_SECRET": KEY}
    lines = console(tmp_path, "config", **production).stdout.splitlines()

    assert "RATE_LIMIT_PER_MINUTE=1200" in lines
    assert "JWT_SECRET=***" in lines


def test_a_fresh_service_has_no_account(tmp_path: Path) -> None:
    with AuthCommand(tmp_path, JWT_SECRET=KEY) as service, service.client() as client:
        for password in ("admin", "password", ""):
            assert 401 == log_in(client, "admin@example.com", password).status_code
    made = console(tmp_path, "create-admin", "root@example.com", entered=f"{PASSWORD}\n", JWT_SECRET=KEY)

    assert 0 == made.returncode, made.stderr


def test_create_admin_promotes_who_is_there_only_if_that_is_wished(place: Path, client: httpx2.Client) -> None:
    person = Person(client)
    rejected = console(place, "create-admin", person.email, entered=f"{PASSWORD}\n", JWT_SECRET=KEY)
    nobody = console(place, "create-admin", "nobody@example.com", "--promote", JWT_SECRET=KEY)
    promoted = console(place, "create-admin", person.email.upper(), "--promote", "--role", "admin", JWT_SECRET=KEY)
    common = console(place, "create-admin", "new@example.com", entered="password1\n", JWT_SECRET=KEY)
    old = console(place, "create-admin", "new@example.com", JWT_SECRET=KEY, DATABASE_URL=f"sqlite:///{place}/old.db")

    assert (2, True) == (rejected.returncode, "a user has this e-mail: with --promote" in rejected.stderr)
    assert (2, True) == (nobody.returncode, "no user has this e-mail: without --promote" in nobody.stderr)
    assert 0 == promoted.returncode, promoted.stderr
    person.log_in()
    assert 200 == person.get("/api/admin/users").status_code
    assert (2, True) == (common.returncode, common.stderr.startswith("password: "))
    assert (3, True) == (old.returncode, " migrate`" in old.stderr)


def test_routes_prints_the_policy_of_each(tmp_path: Path) -> None:
    lines = [line.split(maxsplit=3) for line in console(tmp_path, "routes", JWT_SECRET=KEY).stdout.splitlines()]
    policy = {(method, path): policy for method, path, _, policy in lines}

    assert "public" == policy["POST", "/api/auth/login"]
    assert "authenticated" == policy["GET", "/api/auth/me"]
    assert "admin, superadmin" == policy["GET", "/api/users"]
    assert "owner, admin, superadmin" == policy["GET", "/api/users/{user_id}"]
