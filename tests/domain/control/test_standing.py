"""How a region stands: green only where it is known, and known to be commandable."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.commandable import HINDRANCES, Commandable, Hindered
from tests.support.web_records import commandable
from vpp_streams.domain.control.standing import (
    BAD_SHARE,
    DELIBERATE,
    WARN_SHARE,
    RegionNow,
    added,
    lost_share,
    stand,
)

STALE_S = 10.0


def region(**changes: object) -> RegionNow:
    """A region in order."""
    now = RegionNow(
        live_age_s=0.5,
        coverage=1.0,
        sites_reporting=100,
        dispatch_age_s=0.5,
        mode="idle",
        partitions_expected=8,
        partitions_heard=8,
        commandable=commandable(100),
        storm_batteries=0,
    )
    return msgspec.structs.replace(now, **changes)


@pytest.mark.parametrize(
    ("changes", "level", "word", "alarms"),
    [
        ({}, "good", "Live", []),
        ({"mode": "target"}, "good", "Live", []),
        ({"commandable": commandable(0)}, "good", "Live", []),  # no battery is registered
        ({"commandable": commandable(91, not_connected=9)}, "good", "Live", []),
        ({"commandable": commandable(90, silent=10)}, "warn", "10% cannot be commanded",
         ["not_commandable"]),
        ({"commandable": commandable(9, not_connected=16)}, "bad", "64% cannot be commanded",
         ["not_commandable"]),
        ({"commandable": commandable(85, not_connected=5, opted_out=5, never_seen=5)}, "warn",
         "15% cannot be commanded", ["not_commandable"]),
        ({"commandable": None}, "bad", "Commandable share unknown", ["unknown_share"]),
        ({"partitions_heard": 7}, "bad", "Not all can be commanded", ["unknown_share"]),
        ({"partitions_heard": 0, "commandable": None}, "bad", "Not all can be commanded",
         ["unknown_share"]),
        ({"dispatch_age_s": None, "mode": None, "commandable": None}, "bad", "No dispatch report",
         ["dispatch_stale"]),
        ({"dispatch_age_s": 10.1}, "bad", "No dispatch report", ["dispatch_stale"]),
        ({"live_age_s": 10.1}, "bad", "No news", ["telemetry_stale"]),
        ({"live_age_s": None}, "bad", "No news", ["telemetry_stale"]),
        ({"sites_reporting": 0, "coverage": 0.0}, "bad", "No site reports", ["no_site"]),
        ({"coverage": 0.89}, "warn", "Partly covered", ["not_covered"]),
        ({"coverage": 0.9}, "good", "Live", []),
        ({"mode": "hold"}, "bad", "Held", []),
        ({"storm_batteries": 1}, "warn", "Storm", []),
        ({"storm_batteries": 30, "commandable": commandable(70, storm=30)}, "warn", "Storm", []),
        ({"mode": "hold", "commandable": commandable(9, silent=16)}, "bad", "Held",
         ["not_commandable"]),
        ({"coverage": 0.5, "commandable": commandable(9, silent=16)}, "bad",
         "64% cannot be commanded", ["not_commandable", "not_covered"]),
    ],
)  # fmt: skip
def test_each_state_has_its_level_label_and_alarms(
    changes: Any, level: str, word: str, alarms: list[str]
) -> None:
    standing = stand(region(**changes), STALE_S)
    assert (standing.level, standing.word) == (level, word)
    assert [f.kind for f in standing.findings if f.alarm] == alarms


def test_a_few_big_batteries_weigh_by_their_power() -> None:
    big = Hindered(cause="silent", batteries=1, rated_w=250_000.0)
    share = Commandable(
        batteries=101, rated_w=750_000.0, commandable=100, commandable_w=500_000.0, hindered=(big,)
    )
    assert lost_share(share) == pytest.approx(1 / 3)
    (finding,) = stand(region(commandable=share), STALE_S).findings
    assert finding.said == ("100 of 101 batteries can be commanded (500.0 of 750.0 kW): 1 silent")


counts = st.dictionaries(st.sampled_from(HINDRANCES), st.integers(1, 50))


@given(
    free=st.integers(0, 200),
    lost=counts,
    age_s=st.one_of(st.none(), st.floats(0, 100)),
    heard=st.integers(0, 8),
    unknown=st.booleans(),
)
def test_it_is_never_green_while_a_tenth_cannot_be_commanded_or_it_is_not_known(
    free: int, lost: dict[str, int], age_s: float | None, heard: int, unknown: bool
) -> None:
    share = None if unknown else commandable(free, **lost)
    now = region(
        commandable=share,
        dispatch_age_s=age_s,
        partitions_heard=heard,
        storm_batteries=lost.get("storm", 0),
    )
    level = stand(now, STALE_S).level
    if share is None or age_s is None or age_s > STALE_S or heard < 8:
        assert level == "bad"
        return
    out = sum(n for cause, n in lost.items() if cause not in DELIBERATE) / max(share.batteries, 1)
    if out >= BAD_SHARE:
        assert level == "bad"
    elif out >= WARN_SHARE or lost.get("storm"):
        assert level == "warn"
    else:
        assert level == "good"


@given(st.lists(st.tuples(st.integers(0, 50), counts), min_size=1, max_size=5))
def test_partitions_add_up(parts: list[tuple[int, dict[str, int]]]) -> None:
    total = added(commandable(free, **lost) for free, lost in parts)
    assert total is not None
    assert total.commandable == sum(free for free, _ in parts)
    assert total.batteries == total.commandable + sum(h.batteries for h in total.hindered)
    assert total.rated_w == pytest.approx(5_000.0 * total.batteries)
    assert len({h.cause for h in total.hindered}) == len(total.hindered)


def test_what_one_partition_does_not_know_is_not_known() -> None:
    assert added([commandable(3), None]) is None
    assert added([]) is None
