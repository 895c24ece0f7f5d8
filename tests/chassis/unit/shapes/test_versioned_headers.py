"""A response with a version gets its headers on a path of its own, which says what the general one says."""

from __future__ import annotations

import pytest
from starlette.responses import Response

from acme_service.chassis.http import version_headers
from acme_service.chassis.shapes.headers import Pairs, completed

TYPES = ["application/json", "text/html", "text/plain", "image/png", "application/problem+json"]


@pytest.mark.parametrize("media_type", TYPES)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_both_paths_add_the_same(media_type: str, scheme: str) -> None:
    headers = Response(b"{}", headers=version_headers(3), media_type=media_type).raw_headers
    written: Pairs = tuple(headers)
    shuffled: Pairs = tuple(reversed(headers))

    fast, general = (completed(200, list(each), b"id", scheme, None) for each in (written, shuffled))
    assert sorted(general) == sorted(fast)
    assert (b"cache-control", b"no-store") in fast
    assert 1 == [name for name, _ in fast].count(b"cache-control")
