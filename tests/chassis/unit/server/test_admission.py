"""Which connections count as those of one address."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from acme_service.chassis.server.admission import Admission


class _Connection:
    """As much of a connection as `Admission` looks at."""

    def __init__(self, address: str) -> None:
        self.state = SimpleNamespace(max_connections_per_address=1)
        self.client = (address, 40000)
        self.rejected = False

    def reject(self, _rejected: object) -> None:
        self.rejected = True


@pytest.mark.parametrize(
    ("first", "second", "rejected"),
    [
        ("203.0.113.7", "203.0.113.8", False),
        ("2001:db8::1", "2001:db8::2", True),
        ("2001:db8::1%eth0", "2001:db8:0:1::1", False),
        ("64:ff9b::203.0.113.7", "64:ff9b::203.0.113.8", False),
        ("64:ff9b::203.0.113.7", "203.0.113.7", True),
    ],
)
def test_an_address_is_counted_as_the_rate_limits_count_it(first: str, second: str, *, rejected: bool) -> None:
    """Behind NAT64 all clients of IPv4 have one network of 64 bits, and are not one client."""
    admission = Admission()
    connections: list[Any] = [_Connection(first), _Connection(second)]
    for connection in connections:
        admission.admit(connection)

    assert [each.rejected for each in connections] == [False, rejected]
