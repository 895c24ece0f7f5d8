from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acme_service.chassis.shapes import Pagination, cursor_after, id_at


@given(st.uuids())
def test_a_cursor_leads_back_to_its_id(last: uuid.UUID) -> None:
    assert str(last) == id_at(cursor_after(str(last)))


@given(st.uuids())
def test_a_cursor_needs_no_escaping_in_a_query(last: uuid.UUID) -> None:
    assert cursor_after(str(last)).replace("-", "").replace("_", "").isalnum()


@given(st.text(max_size=30).filter(bool))
def test_a_text_is_a_cursor_only_in_the_spelling_that_was_answered(text: str) -> None:
    try:
        last_id = id_at(text)
    except ValueError:
        return

    assert last_id is not None
    assert text == cursor_after(last_id)


def test_the_empty_cursor_stands_before_the_first() -> None:
    assert id_at("") is None


@pytest.mark.parametrize(("total_items", "total_pages"), [(0, 0), (1, 1), (20, 1), (21, 2), (40, 2)])
def test_pages_are_counted_up(total_items: int, total_pages: int) -> None:
    assert total_pages == Pagination.of(page=1, limit=20, total_items=total_items).total_pages
