from __future__ import annotations

import pytest

from tests.databases import skip_or_fail_in_ci

REASON = "no browser"


@pytest.mark.parametrize(("ci", "outcome"), [("", pytest.skip.Exception), ("1", pytest.fail.Exception)])
def test_what_a_machine_lacks_is_skipped_with_its_reason_and_fails_in_ci(
    monkeypatch: pytest.MonkeyPatch, ci: str, outcome: type[BaseException]
) -> None:
    monkeypatch.setenv("CI", ci)

    with pytest.raises((pytest.skip.Exception, pytest.fail.Exception), match=REASON) as raised:
        skip_or_fail_in_ci(REASON)
    assert outcome is raised.type
