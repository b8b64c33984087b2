"""Schedules: what a file asks for and when, over changes of clocks; what is wrong with a file."""

import re
from datetime import UTC, datetime

import pytest

from schemas.dispatch import Limit, Target
from tests.support.paths import DOCS
from vpp_streams.domain.control.schedules import due, load

EXAMPLE = DOCS / "examples" / "schedule.yaml"
DAY_MS = 86_400_000


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def one(**fields: object) -> str:
    entry = {
        "name": "peak", "region": "north", "from": "17:00", "to": "20:00",
        "timezone": "Europe/Berlin", "export_w": 1000,
    } | fields  # fmt: skip
    lines = [f"    {key}: {value!r}" for key, value in entry.items() if value is not None]
    return "schedules:\n  -\n" + "\n".join(lines)


def windows(text: str, since: str, days: int = 1) -> list[tuple[int, int]]:
    found = due(load(text), ms(since), ms(since) + days * DAY_MS)
    return [(r.starts_at_ms, r.ends_at_ms) for r in found if isinstance(r, Target | Limit)]


def test_the_example_is_a_schedule() -> None:
    # A Tuesday in Los Angeles, 8 h behind UTC.
    found = due(load(EXAMPLE.read_text()), ms("2027-01-05T08:00"), ms("2027-01-06T08:00"))
    assert [(r.source, type(r).__name__) for r in found] == [
        ("schedule:feeder-limit", "Limit"),
        ("schedule:evening-peak", "Target"),
        ("schedule:quiet-nights", "Target"),
    ]
    peak = found[1]
    assert isinstance(peak, Target)
    assert (peak.starts_at_ms, peak.ends_at_ms) == (ms("2027-01-06T01:00"), ms("2027-01-06T04:00"))
    assert peak.request_id == f"evening-peak-{peak.starts_at_ms}"
    assert peak.best_effort
    night = found[2]
    assert isinstance(night, Target)
    assert night.export_w is None
    assert night.ends_at_ms - night.starts_at_ms == 7 * 3_600_000


def test_asking_twice_gives_the_same_requests() -> None:
    entries = load(EXAMPLE.read_text())
    whole = due(entries, ms("2027-01-01T00:00"), ms("2027-01-08T00:00"))
    parts = [
        r
        for day in range(1, 8)
        for r in due(entries, ms(f"2027-01-0{day}T00:00"), ms(f"2027-01-0{day}T00:00") + DAY_MS)
    ]
    assert parts == whole


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Berlin", "2027-03-28", 23),
        ("Europe/Berlin", "2027-10-31", 25),
        ("America/Los_Angeles", "2027-03-14", 23),
        ("America/Los_Angeles", "2027-11-07", 25),
        ("Europe/Berlin", "2027-06-01", 24),
    ],
)
def test_a_day_is_as_long_as_its_clocks_make_it(zone: str, day: str, hours: int) -> None:
    text = one(timezone=zone, to="24:00", **{"from": "00:00"})
    found = due(load(text), ms(f"{day}T00:00") - DAY_MS // 2, ms(f"{day}T00:00") + DAY_MS // 2)
    (day_long,) = [r.ends_at_ms - r.starts_at_ms for r in found if isinstance(r, Target)]
    assert day_long == hours * 3_600_000


def test_a_night_over_the_change_of_clocks() -> None:
    text = one(to="06:00", **{"from": "22:00"})
    ((start, end),) = windows(text, "2027-03-27T12:00")
    assert (start, end) == (ms("2027-03-27T21:00"), ms("2027-03-28T04:00"))


def test_days_are_those_of_the_place() -> None:
    # Monday 00:30 in Berlin is Sunday in UTC.
    text = one(days="mon", to="01:00", **{"from": "00:30"})
    assert windows(text, "2027-01-03T23:00") == [(ms("2027-01-03T23:30"), ms("2027-01-04T00:00"))]
    assert windows(text, "2027-01-04T23:00") == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [", "not YAML"),
        ("- 1", "a mapping with a list"),
        (one(timezone="Mars/Olympus"), "schedule peak: "),
        (one(region=None), "schedule peak: Object missing required field `region`"),
        (one(colour="blue"), "unknown field `colour`"),
        (one(**{"from": "25:00"}), "schedule peak: "),
        (one(export_w=None), "it needs one of export_w"),
        (one(self_consumption=True), "it needs one of export_w"),
        (one(to="17:00"), "from and to are the same"),
        (one() + "\n" + one().split("\n", 1)[1], "two schedules are named 'peak'"),
    ],
)
def test_a_file_that_cannot_be_used_says_where_and_why(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)) as error:
        load(text)
    assert "\n" not in str(error.value)
