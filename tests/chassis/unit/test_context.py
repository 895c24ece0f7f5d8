"""Ids of requests."""

from acme_service.chassis.context import RequestIds


def test_ids_are_counted_under_a_prefix_that_is_renewed_for_all() -> None:
    one, other = RequestIds(), RequestIds()
    prefixes = {each.next().rpartition("-")[0] for each in (one, other, one)}
    RequestIds.renew_all()
    renewed = {each.next().rpartition("-")[0] for each in (one, other)}

    assert 2 == len(prefixes) == len(renewed)
    assert not prefixes & renewed
