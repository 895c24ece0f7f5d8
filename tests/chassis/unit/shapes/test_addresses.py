from __future__ import annotations

import pytest

from acme_service.chassis.shapes.addresses import canonical_address, canonical_network, mapped_network


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("10.0.0.7", "10.0.0.7"),
        ("::ffff:10.0.0.7", "10.0.0.7"),
        ("::FFFF:0a00:7", "10.0.0.7"),
        ("0:0:0:0:0:ffff:10.0.0.7", "10.0.0.7"),
        ("2001:DB8:0::1", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1%eth0"),
        ("64:ff9b::10.0.0.7", "64:ff9b::a00:7"),
        ("2002:a00:7::1", "2002:a00:7::1"),
        ("::10.0.0.7", "::a00:7"),
        ("no:address", "no:address"),
        ("testclient", "testclient"),
        ("", ""),
    ],
)
def test_an_address_has_one_spelling_and_a_mapped_one_is_that_of_ipv4(text: str, canonical: str) -> None:
    assert canonical == canonical_address(text)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("10.0.0.7", "10.0.0.7"),
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("::ffff:10.0.0.7", "10.0.0.7"),
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ("::FFFF:0:0/96", "0.0.0.0/0"),
        ("2001:DB8::/32", "2001:db8::/32"),
        ("::/0", "::/0"),
    ],
)
def test_a_network_likewise(text: str, canonical: str) -> None:
    assert canonical == canonical_network(text)
    assert canonical == canonical_network(mapped_network(canonical))


@pytest.mark.parametrize("text", ["10.0.0.1/8", "10.0.0", "proxy", "::ffff:10.0.0.7/104", ""])
def test_what_is_neither_address_nor_network_is_rejected(text: str) -> None:
    with pytest.raises(ValueError, match=r"address|host bits"):
        canonical_network(text)
