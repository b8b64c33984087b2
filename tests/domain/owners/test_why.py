"""The one reason that a home is given, in the order in which reasons apply."""

from typing import Any

import msgspec
import pytest

from schemas.grid import Alert
from schemas.preferences import Preferences
from vpp_streams.domain.owners.why import HomeNow, Order, reason_of

NOW_MS = 1_763_855_000_000
STORM = Alert(
    alert_id="gale", kind="storm", prepare_from_ms=0, starts_at_ms=1, ends_at_ms=NOW_MS + 5
)
ORDER = Order(request_id="r1", setpoint_w=3_200.0, until_ms=NOW_MS + 9, source="market:sim-day")
QUIET = HomeNow(
    now_ms=NOW_MS, active=True, heard_ago_s=1.0, islanded=False, battery_w=1_000.0, soc=0.5,
    reserve=0.2, storm=None, order=None, skipped="", preferences=None,
)  # fmt: skip
EVERYTHING: dict[str, Any] = {
    "heard_ago_s": None,
    "islanded": True,
    "active": False,
    "storm": STORM,
    "preferences": Preferences(
        site_id="h", set_at_ms=1, by="owner:a", left=True, paused_until_ms=NOW_MS + 7
    ),
    "skipped": "r1",
    "order": ORDER,
    "soc": 0.201,
    "battery_w": 0.0,
}
KINDS = ["not_heard", "islanded", "not_active", "storm", "left", "skipped", "ordered", "at_reserve"]


def test_the_first_reason_that_applies_is_given() -> None:
    home, found = msgspec.structs.replace(QUIET, **EVERYTHING), []
    for field in EVERYTHING:
        found.append(reason_of(home).kind)
        home = msgspec.structs.replace(home, **{field: getattr(QUIET, field)})
    assert found == [*KINDS, "alone"]
    assert reason_of(home).kind == "alone"


def test_a_pause_ends_with_the_clock() -> None:
    chosen = Preferences(site_id="h", set_at_ms=1, by="owner:a", paused_until_ms=NOW_MS + 7)
    home = msgspec.structs.replace(QUIET, preferences=chosen)
    assert (reason_of(home).kind, reason_of(home).until_ms) == ("paused", NOW_MS + 7)
    assert reason_of(msgspec.structs.replace(home, now_ms=NOW_MS + 7)).kind == "alone"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"order": ORDER}, "The battery gives 3.2 kW, as agreed with the market."),
        (
            {"order": msgspec.structs.replace(ORDER, setpoint_w=-900.0, source="operator:ann")},
            "The battery charges with 0.9 kW, as the operator requested.",
        ),
        (
            {"order": msgspec.structs.replace(ORDER, setpoint_w=0.0, source="")},
            "The battery rests, as requested.",
        ),
        (
            {
                "order": msgspec.structs.replace(ORDER, setpoint_w=0.0),
                "reserve": 1.0,
                "battery_w": 0.0,
            },
            "The battery is at your reserve of 100% and gives nothing more.",
        ),
        ({"battery_w": 800.0}, "Nothing is requested: the battery supplies your home."),
        ({"battery_w": -800.0}, "Nothing is requested: the battery charges for your home."),
        ({"battery_w": 3.0}, "Nothing is requested: the battery rests."),
        ({"battery_w": None}, "The battery's power is not measured."),
        ({"soc": None, "battery_w": 3.0}, "Nothing is requested: the battery rests."),
        (
            {"heard_ago_s": 61.0},
            "Your home does not report, so it is not known what the battery does.",
        ),
    ],
)
def test_sentences(changes: dict[str, Any], said: str) -> None:
    assert reason_of(msgspec.structs.replace(QUIET, **changes)).said == said
