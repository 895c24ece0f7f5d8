from __future__ import annotations

import pytest

from acme_service.chassis.rate_limits import subscriber


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("::1", "::/64"),
        ("2001:db8::g", "2001:db8::g"),
        ("no:address", "no:address"),
        ("", ""),
    ],
)
def test_whoever_has_a_network_of_ipv6_counts_as_one(address: str, counted: str) -> None:
    assert counted == subscriber(address)
