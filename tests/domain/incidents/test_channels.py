"""Who is notified of what, and when not."""

from typing import Any

import pytest

from tests.support.incidents import OPENED_MS, incident
from vpp_streams.domain.incidents.channels import (
    RETRY_MS,
    Attempts,
    Channel,
    Key,
    Quiet,
    due,
    faults_of_channels,
    message_of,
)

CHANNEL = Channel(id="ops", url="json://localhost")
NOBODY: frozenset[str] = frozenset()
OPEN = incident()
CLOSED = incident(closed_at_ms=OPENED_MS + 60_000)
KEY: Key = (OPEN.incident_id, "ops", "opened")


def attempts(number: int, *, settled: bool = False, delivered: bool = False) -> Attempts:
    return Attempts(number, OPENED_MS, settled=settled, delivered=delivered)


def sent_to(channel: Channel, one: Any, tried: dict[Key, Attempts], now_ms: int) -> list[str]:
    return [state for _, state in due(channel, [one], tried, NOBODY, now_ms)]


def test_an_opening_is_sent_once() -> None:
    assert sent_to(CHANNEL, OPEN, {}, OPENED_MS) == ["opened"]
    done = {KEY: attempts(1, settled=True, delivered=True)}
    assert sent_to(CHANNEL, OPEN, done, OPENED_MS + 10**9) == []


def test_it_is_tried_again_with_pauses_and_then_given_up() -> None:
    for number in range(1, len(RETRY_MS)):
        tried = {KEY: attempts(number)}
        assert sent_to(CHANNEL, OPEN, tried, OPENED_MS + RETRY_MS[number] - 1) == []
        assert sent_to(CHANNEL, OPEN, tried, OPENED_MS + RETRY_MS[number]) == ["opened"]
    assert sent_to(CHANNEL, OPEN, {KEY: attempts(len(RETRY_MS))}, OPENED_MS + 10**9) == []


def test_an_end_is_sent_only_to_those_who_know_of_the_beginning() -> None:
    assert sent_to(CHANNEL, CLOSED, {}, OPENED_MS) == []
    done = {KEY: attempts(1, settled=True, delivered=True)}
    assert sent_to(CHANNEL, CLOSED, done, OPENED_MS) == ["closed"]
    quiet_ones = Channel(id="ops", url="json://localhost", closed=False)
    assert sent_to(quiet_ones, CLOSED, done, OPENED_MS) == []


def test_nobody_is_notified_of_what_somebody_attends_to() -> None:
    assert due(CHANNEL, [OPEN], {}, frozenset({OPEN.incident_id}), OPENED_MS) == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"severities": ("warning",)}, []),
        ({"regions": ("north",)}, []),
        ({"regions": ("coast",)}, ["opened"]),
    ],
)
def test_a_channel_gets_what_it_wants(changes: dict[str, Any], expected: list[str]) -> None:
    channel = Channel(**{"id": "ops", "url": "json://localhost", **changes})
    assert sent_to(channel, OPEN, {}, OPENED_MS) == expected


# 2026-03-29: clocks in Berlin change from 02:00 to 03:00. 22:30 and 06:30 local of that night.
NIGHT_MS, MORNING_MS = 1_774_733_400_000, 1_774_758_600_000


@pytest.mark.parametrize(
    ("at_ms", "quiet"),
    [(NIGHT_MS, True), (MORNING_MS, True), (MORNING_MS + 1_800_000, False), (OPENED_MS, True)],
)
def test_quiet_hours_are_local_and_may_include_midnight(at_ms: int, quiet: bool) -> None:
    night = Quiet(begins="22:00", ends="07:00", tz="Europe/Berlin")
    channel = Channel(id="ops", url="json://localhost", quiet=night)
    warning = incident(severity="warning")
    assert (sent_to(channel, warning, {}, at_ms) == []) is quiet
    assert sent_to(channel, OPEN, {}, at_ms) == ["opened"], "critical ones are sent all the same"


def test_faults_of_channels_are_sentences() -> None:
    never = Quiet(begins="07:00", ends="07:00", tz="Mars/Olympus")
    faults = faults_of_channels(
        (CHANNEL, CHANNEL, Channel(id="x", url="y", quiet=never)), frozenset({"UTC"})
    )
    assert len(faults) == 3
    assert "Mars/Olympus" in faults[1]


def test_a_message_says_everything_in_one_text() -> None:
    title, text = message_of([(OPEN, "opened"), (CLOSED, "closed")])
    assert title == "Incidents: 1 opened, 1 closed"
    assert text.splitlines() == [
        "2025-11-22 23:43:20 UTC opened [critical] region-silent of coast: no telemetry of the"
        " region for 20 s",
        "2025-11-22 23:44:20 UTC closed [critical] region-silent of coast: no telemetry of the"
        " region for 20 s",
    ]
    assert message_of([(OPEN, "opened")])[0] == "critical: region-silent of coast opened"
