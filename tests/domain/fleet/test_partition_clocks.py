"""Clocks that run ahead or start again: a fleet partition's time is not bent by them."""

import dataclasses
from functools import cache

import pytest

from schemas.windows import RegionPartial
from tests.support.fleet_partition import POLICY, SITES, T0, newest, partition
from tests.support.telemetry_factory import make_batch
from vpp_streams.domain.fleet.columnar import recover
from vpp_streams.domain.fleet.frames import Frame, Outputs
from vpp_streams.domain.fleet.partition import SKEW_MARGIN_MS, FleetPartition
from vpp_streams.domain.fleet.twins import Batch
from vpp_streams.domain.telemetry.seen import MAX_STARTS


@dataclasses.dataclass
class Poisoned:
    """A device that reports each second, and a clock that once runs ahead."""

    part: FleetPartition = dataclasses.field(default_factory=partition)
    outs: list[Outputs] = dataclasses.field(default_factory=list)
    late_s: int = 0
    """How far the broker's clock is behind."""

    def frame(
        self, second: int, rows: list[dict[str, object]], told_s: int | None = None
    ) -> Outputs:
        told_ms = None if told_s is None else T0 + told_s * 1000
        taken_ms = T0 + (second - self.late_s) * 1000 + 200
        batch = Batch.of(make_batch(rows))
        frame = Frame(len(self.outs), batch, True, told_ms, None, record_time_ms=taken_ms)
        self.outs.append(self.part.apply(frame))
        return self.outs[-1]

    def report(self, second: int, ahead_s: int = 0, device: str = SITES[0]) -> Outputs:
        at_ms = T0 + second * 1000
        row = {"device_id": f"{device}-pw", "site_id": device, "seq": second, "battery_w": 100.0,
               "measured_at_ms": at_ms, "received_at_ms": at_ms + 50 + ahead_s * 1000}  # fmt: skip
        return self.frame(second, [row])

    def minutes(self, first: int, last: int) -> None:
        for second in range(first, last):
            self.report(second)
            self.frame(second, [], second - 1)


@cache
def honest_world() -> Poisoned:
    """No clock runs ahead; to be looked at only."""
    world = Poisoned()
    world.minutes(0, 100)
    world.frame(100, [], 99)
    world.minutes(101, 400)
    return world


@pytest.mark.parametrize("ahead_s", [86_400, 3_600, 120])
@pytest.mark.parametrize("who", ["ingest", "gateway"])
def test_a_clock_that_runs_ahead_bends_no_time(ahead_s: int, who: str) -> None:
    """Of one that ran a day ahead all of the next day's readings were too late."""
    told, honest = Poisoned(), honest_world()
    told.minutes(0, 100)
    if who == "ingest":
        told.frame(100, [], 100 + ahead_s)
    else:
        told.report(100, ahead_s, device=SITES[1])
    told.minutes(101, 400)
    assert sum(len(out.rejected) for out in told.outs) == 0
    assert newest(told.outs).keys() - {f"{SITES[1]}|60|{T0 + 60_000}"} == newest(honest.outs).keys()
    ticks = [
        [p.tick_ms for out in w.outs for p in out.partials if isinstance(p, RegionPartial)]
        for w in (told, honest)
    ]
    assert len(ticks[0]) >= len(ticks[1]) - 2 * SKEW_MARGIN_MS // POLICY.tick_ms * 2
    assert told.part.clock.stream_time_ms == honest.part.clock.stream_time_ms
    assert told.part.skew_ms == pytest.approx(ahead_s * 1000, abs=1000)
    assert sum(out.counts["clock_skew"] for out in told.outs) == 1


def test_a_silent_device_is_not_live_for_as_long_as_its_gateway_s_clock_ran_ahead() -> None:
    world = Poisoned()
    world.report(0, ahead_s=3_600, device=SITES[1])
    world.minutes(1, 30)
    last = [p for p in world.outs[-2].partials if isinstance(p, RegionPartial)]
    assert {p.region: p.aggregate.sites_reporting for p in last} == {"coast": 1, "north": 0}


def test_a_time_that_ran_ahead_of_the_broker_s_is_brought_back() -> None:
    """The broker's own clock was set back: live numbers go on, and nothing is too late."""
    world = Poisoned(late_s=-86_400)
    world.frame(0, [], 86_400)
    world.late_s = 0
    world.minutes(1, 130)
    assert sum(len(out.rejected) for out in world.outs) == 0
    ticks = [p.tick_ms for o in world.outs[1:] for p in o.partials if isinstance(p, RegionPartial)]
    assert len(ticks) > 2 * 120
    windows = newest(world.outs)
    assert windows[f"{SITES[0]}|60|{T0}"].readings == 59


def test_a_replay_s_time_is_its_data_s_own() -> None:
    part = partition()
    part.apply(Frame(0, Batch.of(make_batch([])), stream_time_ms=T0 + 10**9))
    assert part.clock.stream_time_ms == T0 + 10**9
    assert part.skew_ms == 0


def test_a_device_that_starts_again_under_its_boot_id_loses_nothing() -> None:
    world = Poisoned()
    world.minutes(0, 100)
    rows = [
        {"device_id": f"{SITES[0]}-pw", "site_id": SITES[0], "seq": seq, "battery_w": 100.0,
         "measured_at_ms": T0 + (110 + seq) * 1000, "received_at_ms": T0 + (110 + seq) * 1000 + 50}
        for seq in range(20)
    ]  # fmt: skip
    out = world.frame(130, rows)
    assert (out.counts["duplicates"], out.counts["boots_reused"]) == (0, 1)
    out = world.frame(131, rows)
    assert (out.counts["duplicates"], out.counts["boots_reused"]) == (20, 0)
    assert world.part.twins.describe(0)["readings"] == 120


def test_what_may_be_a_repeat_is_a_dead_letter() -> None:
    part = partition()
    row = {"device_id": f"{SITES[0]}-pw", "site_id": SITES[0], "seq": 0, "battery_w": 100.0}
    for boot in range(MAX_STARTS + 20):
        at_ms = T0 + boot * 1000
        told = row | {"boot": boot, "measured_at_ms": at_ms, "received_at_ms": at_ms + 50}
        part.apply(Frame(boot, Batch.of(make_batch([told]))))
    again = row | {"boot": 3, "measured_at_ms": T0 + 3000, "received_at_ms": T0 + 600_000}
    out = part.apply(Frame(10_000, Batch.of(make_batch([again]))))
    assert [letter.rejected_id for letter in out.rejected] == [f"{SITES[0]}-pw|3|0|maybe_repeat"]
    assert out.counts["maybe_repeats"] == 1
    assert part.twins.describe(0)["readings"] == MAX_STARTS + 20


def test_what_the_ledger_remembers_survives_a_snapshot() -> None:
    world = Poisoned()
    world.minutes(0, 50)
    for second in (60, 70, 80):
        world.report(second)
    writes = world.part.snapshot().writes()
    recovered = recover({key: value for key, value in writes if value is not None})
    assert recovered is not None
    world.part = partition()
    world.part.restore(recovered)
    assert world.report(70).counts["duplicates"] == 1
    assert world.report(65).counts["duplicates"] == 0
    later = {"device_id": f"{SITES[0]}-pw", "site_id": SITES[0], "seq": 70, "battery_w": 1.0,
             "measured_at_ms": T0 + 200_000, "received_at_ms": T0 + 200_050}  # fmt: skip
    assert world.frame(200, [later]).counts["boots_reused"] == 1
