"""What owners decide becomes opt-outs that last, whatever of it is read again."""

from collections.abc import Iterable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.preferences import Preferences
from schemas.programs import OptOut
from tests.support.settle_world import DAY, HOUR, START
from vpp_streams.domain.settle.leaving import OptOuts

REQUESTS = {"peak": (START + HOUR, START + 2 * HOUR), "late": (START + DAY, START + DAY + HOUR)}
SPAN = (START - DAY, START + 3 * DAY)


def chose(after_ms: int, **decided: object) -> Preferences:
    fields = {"site_id": "a", "set_at_ms": START + after_ms, "by": "owner:a"}
    return msgspec.convert(fields | decided, Preferences)


def folded(*decisions: Preferences) -> OptOuts:
    known = OptOuts()
    for one in decisions:
        apply_all(known, known.decided(one, REQUESTS))
    return known


def apply_all(known: OptOuts, records: Iterable[OptOut]) -> None:
    for record in records:
        known.apply(record)


def stretches(known: OptOuts) -> list[tuple[str, float, float]]:
    return sorted(
        (
            one.request_id,
            (one.from_ms - START) / HOUR,
            -1 if one.until_ms is None else (one.until_ms - START) / HOUR,
        )
        for one in known.within(SPAN)
    )


@pytest.mark.parametrize(
    ("decisions", "expected"),
    [
        ([chose(0)], []),
        ([chose(0, paused_until_ms=START + 5 * HOUR)], [("", 0, 5)]),
        ([chose(0, paused_until_ms=START + 5 * HOUR), chose(HOUR)], [("", 0, 1)]),
        (
            [
                chose(0, paused_until_ms=START + 5 * HOUR),
                chose(HOUR, paused_until_ms=START + 9 * HOUR),
            ],
            [("", 0, 9)],
        ),
        (
            [
                chose(0, paused_until_ms=START + 5 * HOUR),
                chose(HOUR, paused_until_ms=START + 5 * HOUR, backup_reserve=0.5),
            ],
            [("", 0, 5)],
        ),
        ([chose(0, left=True)], [("", 0, -1)]),
        ([chose(0, left=True), chose(7 * HOUR)], [("", 0, 7)]),
        ([chose(0, skips=("peak",))], [("peak", 1, 2)]),
        ([chose(HOUR + HOUR // 2, skips=("peak",))], [("peak", 1.5, 2)]),
        ([chose(0, skips=("peak",)), chose(1)], []),
        ([chose(0, skips=("peak",)), chose(HOUR + HOUR // 4)], [("peak", 1, 1.25)]),
        ([chose(0, skips=("peak",)), chose(3 * HOUR)], [("peak", 1, 2)]),
        ([chose(3 * HOUR, skips=("peak",))], []),
        ([chose(0, skips=("nobody-knows",))], []),
        (
            [chose(0, skips=("peak",)), chose(1), chose(2, skips=("peak", "late"))],
            [("late", 24, 25), ("peak", 1, 2)],
        ),
    ],
)
def test_decisions_hold_from_when_they_were_made(
    decisions: list[Preferences], expected: list[tuple[str, float, float]]
) -> None:
    assert stretches(folded(*decisions)) == expected


CHOICES = st.builds(
    lambda pause, skips, left: {
        "paused_until_ms": pause and START + pause * HOUR,
        "skips": tuple(sorted(skips)),
        "left": left,
    },
    st.sampled_from([0, 2, 30]),
    st.frozensets(st.sampled_from(["peak", "late", "nobody-knows"])),
    st.booleans(),
)


@given(st.lists(st.tuples(st.integers(1, 5 * HOUR), CHOICES), min_size=1, max_size=6), st.data())
def test_a_process_that_is_killed_anywhere_finds_the_same(
    steps: list[tuple[int, dict[str, object]]], data: st.DataObject
) -> None:
    """It reads the records that were published, and then the preferences again, all or newest."""
    at_ms, decisions = 0, []
    for after_ms, chosen in steps:
        at_ms += after_ms
        decisions.append(chose(at_ms, **chosen))
    known, published = OptOuts(), []
    for one in decisions:
        for record in known.decided(one, REQUESTS):
            known.apply(record)
            published.append(record)
    killed_after = data.draw(st.integers(0, len(published)))
    again = OptOuts()
    apply_all(again, published[:killed_after])
    for one in decisions:
        apply_all(again, again.decided(one, REQUESTS))
    assert stretches(again) == stretches(known)
    if killed_after == len(published):
        assert again.decided(decisions[-1], REQUESTS) == []


def test_a_skip_of_a_request_that_is_not_known_yet_waits_for_it() -> None:
    known, skips = OptOuts(), chose(0, skips=("peak",))
    assert known.decided(skips, {}) == []
    assert known.unclear("late") == []
    assert known.unclear("peak") == [skips]
    apply_all(known, known.decided(skips, REQUESTS))
    assert stretches(known) == [("peak", 1, 2)]
    assert known.unclear("peak") == []


def test_opt_outs_that_are_over_for_long_are_forgotten() -> None:
    known = folded(chose(0, skips=("peak",)), chose(DAY, left=True))
    known.forget(START + 3 * HOUR)
    assert stretches(known) == [("", 24, -1)]
