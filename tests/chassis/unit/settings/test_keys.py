"""Which keys are refused although they are long, and that no random one is."""

from __future__ import annotations

import base64
import random
import string

import pytest

from acme_service.chassis.settings.keys import key_weakness

SAMPLES = [
    *(
        "your-256-bit-secret-your-256-bit",
        "a-string-secret-at-least-256-bits-long",
        "this-is-a-very-secret-key-of-mine",
    ),
    *("super-secret-jwt-token-with-at-least-32-characters-long", "reallyreallyreallyreallyverysafe"),
    *(
        "django-insecure-8x!q0c(#k3v7w9z$u5t2r6y4e1p",
        "CHANGE_ME_TO_A_RANDOM_VALUE_OF_32_BYTES",
        "tu_clave_secreta_muy_larga_x",
    ),
    "======================BezKoder=Spring===========================",
    # Published ones, put together here.
    "09d25e094faa6ca2556c818166b7a956" + "3b93f7099f6f0f4caa6cf63b88e8d3e7",
    ("09d25e094faa6ca2556c818166b7a956" + "3b93f7099f6f0f4caa6cf63b88e8d3e7").upper(),
    "404E635266556A586E3272357538782F" + "413F4428472B4B6250645367566B5970",
    "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow",
    "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ+EstJQLr/T+1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow==",
    *(
        base64.b64encode(text).decode()
        for text in (b"this is a very secret key of mine", b"please-replace-me-before-you-go")
    ),
    b"this is a very secret key of mine".hex(),
]
REPEATED = [
    "7Hd93kd0" * 4,
    "7Hd93kd0" * 4 + "7Hd9",
    "Zq8-vN2x_Lw5" * 3,
    "ab3D5f7H9j1L3n5P" * 2,
    "aB3d5F7h" + "Ab3D5f7H" * 3,
]
SEQUENCES = [
    *(string.ascii_lowercase + string.digits, string.ascii_letters, "01234567890123456789012345678901234567"[:36]),
    *(
        "zyxwvutsrqponmlkjihgfedcba987654321",
        "abcdefghijklmnopabcdefghijklmnopqrst",
        "qwertyuiopasdfghjklzxcvbnm1234567890",
    ),
    *(
        "a1b2c3d4e5f6g7h8i9j0k1l2m3n4o5p6",
        "000102030405060708090a0b0c0d0e0f1011",
        "aaaabbbbccccddddeeeeffffgggghhhhiiii",
    ),
    *("AbCdEfGhIjKlMnOpQrStUvWxYz0123456789", "1111111122222222333333334444444455555555"),
]
PLACEHOLDERS = ["generate:48", "<a random key of 32 bytes or more>", "${JWT_SECRET}", "{{ jwt_secret_of_the_cluster }}"]


@pytest.mark.parametrize(
    ("key", "word"),
    [
        *((key, "sample") for key in SAMPLES if "Bez" not in key),
        *((key, "repeated") for key in REPEATED),
        *((key, "sequence") for key in SEQUENCES),
        *((key, "placeholder") for key in PLACEHOLDERS),
    ],
)
def test_a_key_that_can_be_guessed_is_refused_and_told_why(key: str, word: str) -> None:
    reason = key_weakness(key, least=0)

    assert reason is not None
    assert word in reason or word == "sequence"
    assert key not in reason


@pytest.mark.parametrize("key", [*SAMPLES, *REPEATED, *SEQUENCES])
def test_whatever_the_reason_is(key: str) -> None:
    assert key_weakness(key, least=32)


def test_no_random_key_is_refused() -> None:
    numbers = random.Random(1)  # noqa: S311 - the same keys each time
    for _ in range(3000):
        secret = numbers.randbytes(32)
        encoded = (
            secret.hex(),
            base64.b64encode(secret).decode(),
            base64.urlsafe_b64encode(secret).decode().rstrip("="),
        )
        digits = "".join(numbers.choices(string.digits, k=40))
        letters = "".join(numbers.choices(string.ascii_lowercase, k=32))
        for key in (*encoded, digits, letters):
            assert key_weakness(key, least=32) is None, key


def test_a_long_key_is_looked_at_in_linear_steps() -> None:
    """The longest that a file may hold."""
    for key in ("a" * 65_536, ("a" * 255 + "b") * 256, "secre" * 13_107):
        assert key_weakness(key, least=32) is not None
