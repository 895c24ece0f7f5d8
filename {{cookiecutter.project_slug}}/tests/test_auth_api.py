"""Authenticated users against a running service: what is promised, over real HTTP."""

from __future__ import annotations

import base64
import hmac
import json
import socket
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2
import pytest

from {{ cookiecutter.package_name }} import SERVICE_NAME

from .application import MISSING_ID, PASSWORD, new_user
from .auth import KEY, UNLIMITED, Person, bearer, forged, log_in, payload_of, refresh
from .process import ServiceProcess, run

ORIGIN = "https://app.example.com"
SIGMA = "\N{GREEK SMALL LETTER SIGMA}"
"""A letter with another form at the end of a word, which `lower` writes for its capital there."""
NO_ADDRESSES = [
    *("no e-mail at all", "", "a\0b@example.com", "a" * 65 + "@example.com", "a..b@example.com", "a" * 10_000),
    *(f"ada{invisible}@example.com" for invisible in "\u200b\u00ad\u200e\u202e\ue000\ufeff\u2028\U000e0061\ufe0f"),
    *(f"ada@exam{invisible}ple.com" for invisible in "\u200b\u00ad\u200e\u202e\ue000\ufeff\u3164\ufe0f"),
]


@pytest.fixture(scope="module")
def service(folder: Path) -> Iterator[ServiceProcess]:
    with ServiceProcess(folder, JWT_SECRET=KEY, CORS_ORIGINS=ORIGIN, LOG_LEVEL="debug", **UNLIMITED) as running:
        yield running


@pytest.fixture(scope="module")
def client(service: ServiceProcess) -> Iterator[httpx2.Client]:
    with service.client() as opened:
        yield opened


@pytest.fixture(scope="module")
def ada(client: httpx2.Client) -> Person:
    return Person(client)


@pytest.fixture(scope="module")
def superadmin(client: httpx2.Client, folder: Path) -> Person:
    made = run(folder, "create-admin", "root@example.com", entered=f"{PASSWORD}\n", JWT_SECRET=KEY)
    assert 0 == made.returncode, made.stderr
    assert '"role":"superadmin"' in made.stderr
    return Person(client, "root@example.com")


@pytest.fixture(scope="module")
def admin(client: httpx2.Client, superadmin: Person) -> Person:
    return promoted(Person(client), superadmin, "admin")


def promoted(person: Person, by: Person, role: str) -> Person:
    assert 200 == by.send("PATCH", f"/api/admin/users/{person.id}", {"role": role}).status_code
    person.log_in()
    return person


def test_a_process_hashes_passwords_at_their_full_cost(ada: Person, folder: Path) -> None:
    """The tests within the process hash cheaply."""
    with closing(sqlite3.connect(folder / "service.db")) as stored:
        [(hashed,)] = stored.execute("SELECT password_hash FROM users WHERE id = ?", [ada.id])

    assert hashed.startswith("$argon2id$v=19$m=19456,t=2,p=1$")


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


def told(service: ServiceProcess, answer: httpx2.Response) -> list[dict[str, Any]]:
    """What the log `security` says about the request, once its access line is there."""
    request_id = answer.headers["x-request-id"]
    service.line("request", request_id=request_id)
    return [line for line in service.lines if (line["logger"], line.get("request_id")) == ("security", request_id)]


def test_register_log_in_refresh_and_log_out(client: httpx2.Client) -> None:
    body = new_user("Grace", email=f"Grace{SIGMA.upper()}@Example.com")
    registered = client.post("/api/auth/register", json=body)
    pair = log_in(client, f"GRACE{SIGMA}@example.COM").json()
    me = client.get("/api/auth/me", headers=bearer(pair["access_token"])).json()
    refreshed = refresh(client, pair["refresh_token"])
    left = client.post("/api/auth/logout", headers=bearer(refreshed.json()["access_token"]))

    assert 201 == registered.status_code
    assert f"/api/users/{registered.json()['id']}" == registered.headers["location"]
    assert {"access_token", "refresh_token", "token_type", "expires_in"} == set(pair) == set(refreshed.json())
    assert ("Bearer", 900) == (pair["token_type"], pair["expires_in"])
    assert ("user", True) == (me.pop("role"), me.pop("active"))
    assert me.items() <= registered.json().items()
    assert (204, b"") == (left.status_code, left.content)
    for token in (pair["access_token"], refreshed.json()["access_token"]):
        assert 401 == client.get("/api/auth/me", headers=bearer(token)).status_code
    assert 401 == refresh(client, refreshed.json()["refresh_token"]).status_code


@pytest.mark.parametrize("path", ["register", "login", "refresh"])
def test_a_large_body_of_a_stranger_is_rejected_unread(client: httpx2.Client, path: str) -> None:
    assert 413 == client.post(f"/api/auth/{path}", json={"password": "p" * 32_768}).status_code


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


def test_a_refresh_token_that_is_used_again_after_eleven_seconds_ends_its_session(
    client: httpx2.Client, service: ServiceProcess, folder: Path
) -> None:
    person = Person(client)
    other = log_in(client, person.email).json()
    first = person.tokens
    second = refresh(client, first["refresh_token"]).json()
    bridged = refresh(client, first["refresh_token"])
    assert 200 == bridged.status_code
    assert payload_of(second["refresh_token"])["jti"] == payload_of(bridged.json()["refresh_token"])["jti"]
    assert ["token bridged"] == [line["event"] for line in told(service, bridged)]
    with closing(sqlite3.connect(folder / "service.db")) as database, database:
        database.execute("UPDATE sessions SET rotated_at = strftime('%Y-%m-%d %H:%M:%f000', rotated_at, '-11 seconds')")
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

    assert (422, "/current_password") == (wrong.status_code, problem(wrong)["errors"][0]["pointer"])
    assert 200 == log_in(client, ada.email).status_code


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_what_belongs_to_another_looks_like_what_is_not_there(client: httpx2.Client, ada: Person, method: str) -> None:
    eve = Person(client)
    others = eve.send(method, f"/api/users/{ada.id}")
    missing = eve.send(method, f"/api/users/{MISSING_ID}")

    assert (404, problem(missing)) == (others.status_code, problem(others))
    assert 200 == ada.get(f"/api/users/{ada.id}").status_code


def test_an_owner_reads_and_deletes_itself(client: httpx2.Client) -> None:
    person = Person(client)
    path = f"/api/users/{person.id}"

    assert 200 == person.get(path).status_code
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
        admin.send("DELETE", f"/api/users/{superadmin.id}"),
        admin.send("PATCH", f"/api/admin/users/{admin.id}", {"role": "superadmin"}),
        superadmin.send("PATCH", f"/api/admin/users/{superadmin.id}", {"active": False}),
    ]

    assert [403] * len(rejected) == [answer.status_code for answer in rejected]
    assert {"forbidden"} == {problem(answer)["type"].rpartition(":")[2] for answer in rejected}
    assert ("superadmin", True) == tuple(superadmin.get("/api/auth/me").json()[name] for name in ("role", "active"))
    assert 200 == other.get("/api/auth/me").status_code


def test_a_change_of_a_user_is_for_its_owner_and_admins(
    client: httpx2.Client, service: ServiceProcess, superadmin: Person, admin: Person
) -> None:
    """Everything about `PATCH /api/users/{user_id}`: who may send it, and that a new password ends every session."""
    person, eve = Person(client), Person(client)
    path, others = f"/api/users/{person.id}", f"/api/users/{superadmin.id}"
    rejected = [
        (404, eve.send("PATCH", path, {"name": "Eve was here"})),
        (422, person.send("PATCH", path, {"password": "another horse"})),
        (422, person.send("PATCH", path, {"name": "Eve", "role": "admin"})),
        (403, admin.send("PATCH", others, {"password": "taken over now"})),
        (403, admin.send("PATCH", others, {"email": "mine@example.com"})),
    ]
    renamed = person.send("PATCH", path, {"name": "New", "email": f"new-{person.email}"})
    reset = admin.send("PATCH", path, {"password": "set by an admin"})

    assert [status for status, _ in rejected] == [answer.status_code for _, answer in rejected]
    assert (200, "New") == (renamed.status_code, renamed.json()["name"])
    assert "e-mail changed" in [line["event"] for line in told(service, renamed)]
    assert "password changed" in [line["event"] for line in told(service, reset)]
    assert (200, 401) == (reset.status_code, person.get("/api/auth/me").status_code)
    person.email = renamed.json()["email"]
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
        *(log_in(client, text, "x") for text in NO_ADDRESSES),
    ]

    assert {401} == {answer.status_code for answer in answers}
    assert 1 == len({json.dumps(problem(answer)) for answer in answers})
    ours = {"x-request-id", "date", "content-length"}  # the body holds the request id, which is a number
    assert 1 == len({str(sorted((k, v) for k, v in a.headers.items() if k not in ours)) for a in answers})


def test_a_reactivated_account_logs_in_and_old_tokens_stay_dead(client: httpx2.Client, admin: Person) -> None:
    person = Person(client)
    for active in (False, True):
        admin.send("PATCH", f"/api/admin/users/{person.id}", {"active": active})

    assert 401 == person.get("/api/auth/me").status_code
    person.log_in()
    assert 200 == person.get("/api/auth/me").status_code


def test_admins_list_accounts_by_page_and_by_cursor(admin: Person) -> None:
    page = admin.get("/api/admin/users?limit=2").json()
    cursor = admin.get("/api/admin/users?cursor=&limit=2").json()

    assert {"id", "email", "role", "active"} <= set(page["items"][0])
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
        ("aaaaaaaa", 422),
    ],
    ids=["short", "common", "common in another case", "long", "1 MB", "64 and more", "no rule", "one character"],
)
def test_passwords_are_judged_by_length_and_by_being_common(client: httpx2.Client, password: str, status: int) -> None:
    body = new_user(email=f"pat{len(password)}{password[-1:].encode().hex()}@example.com", password=password)

    assert status == client.post("/api/auth/register", json=body).status_code


def test_a_rejection_has_the_headers_of_every_answer_and_can_be_read_by_our_pages(client: httpx2.Client) -> None:
    answer = client.get("/api/auth/me", headers={"Origin": ORIGIN})
    elsewhere = client.get("/api/auth/me", headers={"Origin": "https://evil.example"})

    assert (401, ORIGIN) == (answer.status_code, answer.headers["access-control-allow-origin"])
    assert "access-control-allow-origin" not in elsewhere.headers
    for name in ("x-content-type-options", "cache-control", "content-security-policy", "referrer-policy"):
        assert name in answer.headers


def test_each_security_event_is_told_once_with_user_address_and_outcome(
    client: httpx2.Client, service: ServiceProcess, superadmin: Person, admin: Person
) -> None:
    own = superadmin.id
    body = new_user(email="told@example.com")
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
        (client.post("/api/auth/logout", headers=token), "logout", user, "ok"),
        (superadmin.send("PATCH", account, {"role": "admin"}), "role changed", user, "changed"),
        (superadmin.send("PATCH", account, {"active": False}), "account deactivated", user, "changed"),
        (superadmin.send("PATCH", account, {"active": True}), "account activated", user, "changed"),
        (superadmin.send("DELETE", f"/api/users/{user}"), "user deleted", user, "changed"),
        (superadmin.send("PATCH", f"/api/admin/users/{own}", {"active": False}), "access denied", own, "rejected"),
        (admin.send("PATCH", f"/api/admin/users/{own}", {"active": False}), "access denied", admin.id, "rejected"),
    ]

    for answer, event, who, outcome in expected:
        [line] = told(service, answer)
        assert (event, who, outcome, "127.0.0.1") == tuple(line[n] for n in ("event", "user", "outcome", "client"))


def test_a_body_that_took_its_time_is_rejected_when_its_sender_was_locked_out_meanwhile(
    service: ServiceProcess, client: httpx2.Client, admin: Person
) -> None:
    person = Person(client)
    body = json.dumps({"current_password": PASSWORD, "new_password": "another horse"}).encode()
    fields = {
        "Host": "localhost",
        **person.headers,
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        "Connection": "close",
    }
    lines = ["POST /api/auth/password HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
    with service.connect() as slow:
        slow.sendall("\r\n".join(lines).encode() + body[:5])
        time.sleep(1.1)
        admin.send("PATCH", f"/api/admin/users/{person.id}", {"active": False})
        slow.sendall(body[5:])

        assert slow.recv(65536).startswith(b"HTTP/1.1 401 ")
    admin.send("PATCH", f"/api/admin/users/{person.id}", {"active": True})
    person.log_in()


@pytest.mark.parametrize("address", NO_ADDRESSES)
def test_no_one_registers_with_what_is_no_address(client: httpx2.Client, address: str) -> None:
    rejected = client.post("/api/auth/register", json=new_user(email=address))

    assert 422 == rejected.status_code
    assert ["/email"] == [error["pointer"] for error in problem(rejected)["errors"]]


@pytest.mark.parametrize(
    ("spellings", "kept"),
    [
        (["jose\u0301@M\u00fcnchen.example", "JOS\u00c9@MU\u0308NCHEN.example"], "jos\u00e9@xn--mnchen-3ya.example"),
        (["ada@fa\u00df.example", "ADA@FA\u1e9e.EXAMPLE"], "ada@xn--fa-hia.example"),
        (["ada@\u4f8b\u3048\u3002example", "ada@\uff58n--r8jz45g\uff0eexample"], "ada@xn--r8jz45g.example"),
    ],
)
def test_who_registered_logs_in_with_every_spelling(client: httpx2.Client, spellings: list[str], kept: str) -> None:
    registered = client.post("/api/auth/register", json=new_user(email=spellings[0]))

    assert (201, kept) == (registered.status_code, registered.json()["email"])
    assert {200} == {log_in(client, spelling).status_code for spelling in [*spellings, kept]}
    for spelling in [*spellings, kept]:
        assert 409 == client.post("/api/auth/register", json=new_user(email=spelling)).status_code


@pytest.mark.parametrize("password", ["Lovelace@Example.COM", "LOVELACE", "\u00e9e\u0301\u00c9E" * 3])
def test_the_own_address_and_one_repeated_character_are_no_password(client: httpx2.Client, password: str) -> None:
    person = Person(client, "lovelace@example.com")
    new = client.post("/api/auth/register", json=new_user(email=person.email, password=password))
    changed = person.send("POST", "/api/auth/password", {"current_password": PASSWORD, "new_password": password})

    assert [422, 422] == [new.status_code, changed.status_code]
    assert [["/password"], ["/new_password"]] == [
        [error["pointer"] for error in problem(answer)["errors"]] for answer in (new, changed)
    ]


def test_no_password_and_no_token_is_ever_logged(client: httpx2.Client, service: ServiceProcess) -> None:
    person = Person(client)
    client.get(f"/api/auth/me?access_token={person.tokens['access_token']}")
    refresh(client, person.tokens["refresh_token"])
    log_in(client, person.email, "canary-password")
    client.post("/api/auth/register", json={"name": "x", "email": "x", "password": "canary-password"})
    told(service, person.send("POST", "/api/auth/password", {"current_password": "canary", "new_password": "canary-9"}))
    output = json.dumps(service.lines)

    assert "login failed" in output
    for secret in (PASSWORD, "canary", KEY, person.tokens["access_token"], person.tokens["refresh_token"], "argon2"):
        assert secret not in output
