"""Owners' decisions: what is changed, and what is refused with a sentence."""

from typing import Any

import pytest

from schemas.preferences import MAX_SKIPS, Preferences
from vpp_streams.domain.moments import DAY_MS
from vpp_streams.domain.owners.choices import Change, changed, joining, skipping

NOW_MS = 1_763_855_000_000
BEFORE = Preferences(site_id="h", set_at_ms=1, by="owner:a", backup_reserve=0.3, skips=("old",))


@pytest.mark.parametrize(
    "change",
    [
        {"backup_reserve": 0.0}, {"backup_reserve": 1.0}, {"storm_mode": False},
        {"paused_until_ms": NOW_MS + 1}, {"paused_until_ms": 0}, {"left": True},
    ],
)  # fmt: skip
def test_a_change_changes_what_it_names_and_nothing_else(change: dict[str, Any]) -> None:
    after = changed(BEFORE, Change(**change), "owner:b", NOW_MS)
    assert isinstance(after, Preferences)
    for name in ("backup_reserve", "storm_mode", "paused_until_ms", "left", "skips"):
        assert getattr(after, name) == change.get(name, getattr(BEFORE, name))
    assert (after.by, after.set_at_ms) == ("owner:b", NOW_MS)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, "nothing is to be changed"),
        ({"backup_reserve": 1.2}, "a reserve is 0 to 100 % of the battery, and 120% is not"),
        ({"backup_reserve": -0.1}, "a reserve is 0 to 100 % of the battery, and -10% is not"),
        ({"backup_reserve": float("nan")}, "a reserve is 0 to 100 %"),
        ({"paused_until_ms": NOW_MS}, "a pause ends later than now"),
        ({"paused_until_ms": NOW_MS + 367 * DAY_MS}, "within a year"),
        ({"paused_until_ms": -5}, "a pause ends later than now"),
    ],
)
def test_what_cannot_be_is_a_sentence(change: dict[str, Any], said: str) -> None:
    after = changed(BEFORE, Change(**change), "owner:b", NOW_MS)
    assert isinstance(after, str)
    assert said in after


def test_skips_that_are_over_are_forgotten_and_the_newest_are_kept() -> None:
    known = {f"r{number}" for number in range(2 * MAX_SKIPS)}
    now = BEFORE
    for request in sorted(known):
        after = skipping(now, request, known, "owner:b", NOW_MS)
        assert isinstance(after, Preferences)
        now = after
    assert len(now.skips) == MAX_SKIPS
    assert "old" not in now.skips
    assert skipping(now, "gone", known, "owner:b", NOW_MS) == (
        "there is no event 'gone' that is still to end"
    )
    again = joining(now, now.skips[0], "owner:b", NOW_MS)
    assert isinstance(again, Preferences)
    assert again.skips == now.skips[1:]
    assert "is not skipped" in str(joining(now, "r0", "owner:b", NOW_MS))
