"""Incidents open and close by the rules, once each, and survive a restart of the watch."""

from collections.abc import Sequence
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from schemas.incidents import Incident
from vpp_streams.domain.incidents.rules import Rule, faults_of
from vpp_streams.domain.incidents.watch import QUIET_MS, Measurement, Watch

RULE = Rule(id="silent", kind="region_silent", severity="critical", above=10, for_s=5, clear_s=20)
AT_MS = 1_763_855_000_000


def measured(value: float | None, subject: str = "coast") -> list[Measurement]:
    return [
        Measurement(
            kind="region_silent", subject=subject, region=subject, value=value, evidence="said"
        )
    ]


def played(watch: Watch, values: Sequence[float | None], at_ms: int = AT_MS) -> list[Incident]:
    """One value a second; all that was published."""
    return [
        incident
        for second, value in enumerate(values)
        for incident in watch.step(at_ms + 1000 * second, measured(value))
    ]


def test_an_incident_opens_once_the_value_was_above_for_long_enough() -> None:
    (opened,) = played(Watch((RULE,)), [20.0] * 10)
    assert opened.opened_at_ms == AT_MS + 5000
    assert (opened.incident_id, opened.value, opened.closed_at_ms) == (
        f"silent|coast|{AT_MS + 5000}", 20.0, 0,
    )  # fmt: skip


def test_a_dip_begins_the_wait_again() -> None:
    assert played(Watch((RULE,)), [20.0] * 5 + [9.0] + [20.0] * 5) == []


def test_exactly_at_the_threshold_is_not_above() -> None:
    assert played(Watch((RULE,)), [10.0] * 30) == []


def test_it_closes_only_once_the_value_was_low_for_long_enough() -> None:
    watch = Watch((RULE,))
    played(watch, [20.0] * 6)
    assert played(watch, [1.0] * 15 + [20.0] + [1.0] * 19, AT_MS + 6000) == []
    (closed,) = played(watch, [1.0] * 30, AT_MS + 60_000)
    assert closed.closed_at_ms == closed.at_ms > closed.opened_at_ms
    assert watch.open == []


def test_what_is_not_measured_opens_nothing_and_closes_nothing() -> None:
    watch = Watch((RULE,))
    assert played(watch, [20.0] * 4 + [None] + [20.0] * 4) == []
    played(watch, [20.0] * 6, AT_MS + 20_000)
    assert played(watch, [None] * 300, AT_MS + 40_000) == []
    assert len(watch.open) == 1


def test_much_worse_is_published_again_but_not_each_second() -> None:
    watch = Watch((RULE,))
    records = played(watch, [20.0 + 20 * second for second in range(150)])
    assert len(records) == 3
    assert all(b.at_ms - a.at_ms >= QUIET_MS for a, b in pairwise(records))
    assert records[-1].worst > 1.25 * records[-2].worst
    assert len({one.incident_id for one in records}) == 1


def test_a_watch_that_starts_again_continues_what_is_open() -> None:
    first = Watch((RULE,))
    records = played(first, [20.0] * 10)
    second = Watch((RULE,))
    for record in records:
        second.restore(record)
    assert played(second, [20.0] * 30, AT_MS + 60_000) == []
    (closed,) = played(second, [0.0] * 30, AT_MS + 120_000)
    assert closed.incident_id == records[0].incident_id


def test_what_nothing_watches_any_more_closes() -> None:
    watch = Watch((RULE,))
    (opened,) = played(watch, [20.0] * 6)
    other = Watch(())
    other.restore(opened)
    for gone in (watch.step(AT_MS + 9000, []), other.step(AT_MS + 9000, measured(20.0))):
        assert [one.closed_at_ms for one in gone] == [AT_MS + 9000]


def test_a_rule_of_some_regions_disregards_the_others() -> None:
    rule = Rule(id="r", kind="region_silent", severity="info", above=10, regions=("north",))
    watch = Watch((rule,))
    assert watch.step(AT_MS, measured(20.0, "coast")) == []
    assert len(watch.step(AT_MS, measured(20.0, "north"))) == 1


@given(
    values=st.lists(st.one_of(st.none(), st.floats(0, 40)), max_size=80),
    steps_ms=st.lists(st.integers(-5000, 9000), min_size=80, max_size=80),
)
def test_at_most_one_is_open_and_no_id_opens_twice(
    values: list[float | None], steps_ms: list[int]
) -> None:
    """Whatever is measured, and however the clock is set."""
    watch, now_ms = Watch((RULE,)), AT_MS
    is_open: dict[str, bool] = {}
    for value, step_ms in zip(values, steps_ms, strict=False):
        now_ms += step_ms
        for record in watch.step(now_ms, measured(value)):
            assert is_open.get(record.incident_id) is not False
            is_open[record.incident_id] = not record.closed_at_ms
            assert not record.closed_at_ms or record.closed_at_ms > record.opened_at_ms
        assert sum(is_open.values()) == len(watch.open) <= 1


def test_rules_that_contradict_are_faults() -> None:
    share = Rule(id="a", kind="sites_silent", severity="info", above=10)
    assert faults_of((share, share)) == [
        "rule 'a': sites_silent is a share of 0 to 1, never above 10",
        "rule 'a' is there twice",
        "rule 'a': sites_silent is a share of 0 to 1, never above 10",
    ]
    assert faults_of((RULE,)) == []
