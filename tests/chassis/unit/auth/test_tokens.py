from __future__ import annotations

import secrets
import uuid

import pytest

from acme_service.chassis.auth.tokens import MAX_REMEMBERED, TokenRejected, Tokens

KEY = secrets.token_urlsafe(48)
ADA, SESSION = (str(uuid.UUID(int=number)) for number in (1, 2))


class Clock:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


def make(*keys: str, clock: Clock | None = None) -> Tokens:
    return Tokens(
        keys or (KEY,), issuer="acme-service", access_seconds=900, refresh_seconds=3600, clock=clock or Clock()
    )


def access(tokens: Tokens, user_id: str = ADA) -> str:
    return tokens.sign(tokens.access, user_id=user_id, session_id=SESSION, token_version="x")


def test_a_token_says_what_was_signed() -> None:
    tokens = make()
    claims = tokens.read_access(access(tokens))

    assert (ADA, SESSION, "x") == (claims.user_id, claims.session_id, claims.token_version)
    assert Clock.now + 900 == claims.expires_at


@pytest.mark.parametrize("read_before", [False, True], ids=["never read", "remembered"])
def test_a_token_dies_in_the_second_that_it_says(*, read_before: bool) -> None:
    clock = Clock()
    tokens = make(clock=clock)
    token = access(tokens)
    if read_before:
        tokens.read_access(token)
    clock.now += 899
    tokens.read_access(token)
    clock.now += 1

    with pytest.raises(TokenRejected):
        tokens.read_access(token)


@pytest.mark.parametrize("read_before", [False, True], ids=["never read", "remembered"])
def test_a_clock_set_back_makes_no_token_live_longer_than_its_life(*, read_before: bool) -> None:
    clock = Clock()
    tokens = make(clock=clock)
    token = access(tokens)
    if read_before:
        tokens.read_access(token)
    clock.now -= 60
    tokens.read_access(token)
    clock.now -= 1

    with pytest.raises(TokenRejected):
        tokens.read_access(token)
    clock.now += 61
    assert ADA == tokens.read_access(token).user_id


def test_each_kind_is_rejected_as_the_other() -> None:
    tokens = make()
    refresh = tokens.sign(tokens.refresh, user_id=ADA, session_id=SESSION, token_version="x")

    assert ADA == tokens.read(tokens.refresh, refresh).user_id
    with pytest.raises(TokenRejected):
        tokens.read_access(refresh)
    with pytest.raises(TokenRejected):
        tokens.read(tokens.refresh, access(tokens))


def test_the_previous_key_is_read_and_never_signs() -> None:
    new = KEY[::-1]
    rotated = make(new, KEY)

    assert ADA == rotated.read_access(access(make())).user_id
    assert ADA == make(new).read_access(access(rotated)).user_id
    with pytest.raises(TokenRejected):
        make(new).read_access(access(make()))


def test_a_revoked_token_is_rejected_without_another_look() -> None:
    tokens = make()
    token = access(tokens)
    tokens.read_access(token)
    tokens.reject(token)

    with pytest.raises(TokenRejected, match="revoked before"):
        tokens.read_access(token)


def test_what_is_remembered_is_bounded() -> None:
    tokens = make()
    for number in range(MAX_REMEMBERED + 10):
        tokens.read_access(access(tokens, str(uuid.UUID(int=number))))

        tokens.reject(f"token {number}")

    assert [MAX_REMEMBERED] * 2 == [len(tokens._verified), len(tokens._rejected)]  # noqa: SLF001 - not seen from outside
