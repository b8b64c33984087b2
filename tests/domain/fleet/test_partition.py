"""One partition of the fleet against pandas, and against its own log read again."""

import dataclasses
import random
from operator import itemgetter
from typing import cast

import msgspec
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.assets import Device, Site
from schemas.windows import RegionPartial, RegionWindowPartial, SiteWindow
from tests.support.telemetry_factory import make_batch
from vpp_streams.domain.fleet.columnar import recover
from vpp_streams.domain.fleet.partition import (
    SKEW_MARGIN_MS,
    FleetPartition,
    Frame,
    Outputs,
    Policy,
)
from vpp_streams.domain.fleet.twins import Batch
from vpp_streams.domain.registry.hashing import partition_of
from vpp_streams.domain.registry.registry import Registry
from vpp_streams.domain.telemetry.seen import MAX_STARTS
from vpp_streams.kafka.topics import PARTITIONS
from vpp_streams.settings import Settings

T0 = 1_800_000_000_000  # a whole 15 minutes
POLICY = Policy(retention_ms=3 * 3_600_000)
SITES = [s for s in (f"home-{i:03}" for i in range(60)) if partition_of(s, PARTITIONS) == 0][:5]


def registry() -> Registry:
    return Registry(
        Site(
            site_id,
            region="north" if i % 2 else "coast",
            devices=(
                Device(f"{site_id}-pw", "powerwall", rated_energy_wh=13_500, rated_charge_w=5000,
                       rated_discharge_w=5000),
            ),
        )
        for i, site_id in enumerate(SITES)
    )  # fmt: skip


def partition() -> FleetPartition:
    return FleetPartition(0, "telemetry", registry(), POLICY)


def stream(seed: int, seconds: int = 1300) -> list[Frame]:
    """A log of frames: duplicates, disorder, readings late by an hour, one device with a gap."""
    rng = random.Random(seed)
    rows = []
    for site in SITES:
        for second in range(seconds):
            at = T0 + second * 1000 + rng.randrange(300)
            late = rng.random() < 0.05
            rows.append(
                {
                    "device_id": f"{site}-pw",
                    "site_id": site,
                    "boot": 7,
                    "seq": second,
                    "measured_at_ms": at - (3_600_000 if late else 0),
                    "received_at_ms": at + 200 + (rng.randrange(4000) if rng.random() < 0.2 else 0),
                    "battery_w": rng.uniform(-5000, 5000),
                    "grid_w": rng.uniform(-2000, 2000) if second % 7 else float("nan"),
                    "soc": rng.random(),
                }
            )
    rows += [rng.choice(rows) for _ in range(len(rows) // 10)]
    rows.sort(key=itemgetter("received_at_ms"))
    frames, i, offset = [], 0, 0
    while i < len(rows):
        n = rng.randrange(1, 60)
        frames.append(Frame(offset, Batch.of(make_batch(rows[i : i + n]))))
        i, offset = i + n, offset + 1
    end = T0 + 2 * 3_600_000
    none = Batch.of(make_batch([]))
    frames.append(Frame(offset, none, stream_time_ms=end, watermark_ms=end))
    return frames


def run(part: FleetPartition, frames: list[Frame]) -> list[Outputs]:
    return [part.apply(frame) for frame in frames]


def newest(outs: list[Outputs]) -> dict[str, SiteWindow]:
    windows: dict[str, SiteWindow] = {}
    for out in outs:
        for record in out.windows:
            before = windows.get(record.window_id)
            assert record.revision == (before.revision + 1 if before else 0)
            windows[record.window_id] = record
    return windows


def reference(frames: list[Frame], size_s: int) -> pd.DataFrame:
    """The same sums by pandas: dedupe, split at the boundary, group."""
    frame = pd.concat(
        pd.DataFrame({"site_id": f.batch.site_id, **f.batch.columns})
        for f in frames
        if len(f.batch)
    ).drop_duplicates(["site_id", "boot", "seq"])
    size = size_s * 1000
    frame["start_ms"] = frame.measured_at_ms // size * size
    frame["n"] = 1
    frame["ms"] = np.minimum(frame.interval_ms, frame.start_ms + size - frame.measured_at_ms)
    rest = frame[frame.ms < frame.interval_ms].copy()
    rest["ms"], rest["start_ms"], rest["n"] = rest.interval_ms - rest.ms, rest.start_ms + size, 0
    both = pd.concat([frame, rest])
    for name in ("battery_w", "grid_w"):
        both[name[:-2] + "_wh"] = both[name] * both.ms / 3.6e6
    return both.groupby(["site_id", "start_ms"]).agg(
        n=("n", "sum"), battery=("battery_wh", "sum"), grid=("grid_wh", "sum"), ms=("ms", "sum"),
        low=("battery_w", "min"), high=("battery_w", "max"),
    )  # fmt: skip


@pytest.mark.parametrize("size_s", [60, 900])
def test_windows_equal_pandas(size_s: int) -> None:
    frames = stream(1)
    windows = newest(run(partition(), frames))
    expected = reference(frames, size_s)
    got = {k: w for k, w in windows.items() if w.size_s == size_s}
    assert len(got) == len(expected)
    for key, row in expected.iterrows():
        site_id, start_ms = cast(tuple[str, int], key)
        window = got[f"{site_id}|{size_s}|{start_ms}"]
        assert window.readings == row.n
        assert window.battery.energy_wh == pytest.approx(row.battery, rel=1e-9, abs=1e-9)
        assert (window.grid.energy_wh if window.grid else 0) == pytest.approx(
            row.grid, rel=1e-9, abs=1e-9
        )
        assert window.coverage == pytest.approx(min(row.ms / size_s / 1000, 1))
        assert (window.battery.min_w, window.battery.max_w) == (row.low, row.high)
    assert sum(w.readings for w in got.values()) == 1300 * len(SITES)


def test_twins_hold_the_newest_and_count() -> None:
    part = partition()
    outs = run(part, stream(1))
    twin = part.twins.describe(part.twins.rows_of_site(SITES[0])[0])
    assert twin["readings"] == 1300
    assert twin["grid_w"] is None or isinstance(twin["grid_w"], float)
    assert sum(out.counts["duplicates"] for out in outs) == 1300 * len(SITES) // 10


def test_region_window_shares_add_up_to_the_site_windows() -> None:
    outs = run(partition(), stream(1))
    windows = newest(outs).values()
    shares = {
        (p.region, p.size_s, p.start_ms): p
        for out in outs
        for p in out.partials
        if isinstance(p, RegionWindowPartial)
    }
    for (region, size_s, start_ms), share in shares.items():
        mine = [
            w for w in windows if (w.region, w.size_s, w.start_ms) == (region, size_s, start_ms)
        ]
        assert share.sums.sites_reporting == len(mine)
        assert share.sums.readings == sum(w.readings for w in mine)
        energy = sum(w.battery.energy_wh for w in mine if w.battery)
        assert share.sums.battery.energy_wh == pytest.approx(energy, rel=1e-9, abs=1e-9)
    assert {r for r, *_ in shares} == {"north", "coast"}


def test_every_live_reading_is_fresh_once() -> None:
    outs = run(partition(), stream(1))
    ticks = [p for out in outs for p in out.partials if isinstance(p, RegionPartial)]
    assert sum(count for p in ticks for _, count in p.fresh) == 1300 * len(SITES)


@settings(max_examples=15)
@given(st.integers(0, 10**6))
def test_killed_anywhere_and_restored_gives_the_same_records(seed: int) -> None:
    rng = random.Random(seed)
    frames = stream(seed, seconds=130)
    whole = newest(run(partition(), frames))
    part = partition()
    changelog: dict[bytes, bytes] = {}
    outs: list[Outputs] = []
    position = 0
    while position < len(frames):
        step = rng.randint(1, 40)
        outs += run(part, frames[position : position + step])
        position = min(position + step, len(frames))
        writes = list(part.snapshot().writes())
        if rng.random() < 0.5:  # one transaction: all of it, or nothing
            for key, value in writes:
                if value is None:
                    changelog.pop(key, None)
                else:
                    changelog[key] = value
            continue
        part = partition()
        recovered = recover(changelog)
        if recovered:
            part.restore(recovered)
        # A new worker reads on from the last ack, or from further back.
        position = rng.randint(max(part.applied_offset - 5, 0), part.applied_offset + 1)
    final: dict[str, SiteWindow] = {}
    for out in outs:  # a re-emission is the same record: the newest revision counts
        for record in out.windows:
            if record.revision >= getattr(final.get(record.window_id), "revision", 0):
                final[record.window_id] = record
    assert final == whole


def test_a_second_reading_of_the_log_gives_the_same_bytes() -> None:
    frames = stream(3, seconds=200)

    def everything() -> list[bytes]:
        return [
            msgspec.json.encode(record)
            for out in run(partition(), frames)
            for record in [*out.windows, *out.partials, *out.rejected]
        ]

    assert everything() == everything()


def test_a_reading_older_than_the_windows_kept_is_a_dead_letter() -> None:
    part = partition()
    row = {"device_id": f"{SITES[0]}-pw", "site_id": SITES[0], "seq": 1, "measured_at_ms": T0,
           "received_at_ms": T0}  # fmt: skip
    part.apply(Frame(0, Batch.of(make_batch([row]))))
    old = row | {"seq": 2, "measured_at_ms": T0 - POLICY.retention_ms - 60_000}
    out = part.apply(Frame(1, Batch.of(make_batch([old]))))
    assert [r.rejected_id for r in out.rejected] == [f"{SITES[0]}-pw|1|2|too_late"]
    assert out.rejected[0].reason == "too_late"


def test_a_clock_that_runs_ahead_closes_nothing_early() -> None:
    part = partition()
    ahead = {"device_id": f"{SITES[0]}-pw", "site_id": SITES[0], "seq": 1,
             "measured_at_ms": T0 + 600_000, "received_at_ms": T0}  # fmt: skip
    part.apply(Frame(0, Batch.of(make_batch([ahead]))))
    assert part.clock.watermark_ms == T0 - POLICY.lateness_ms


def test_a_silent_partition_closes_by_heartbeats() -> None:
    part = partition()
    row = {"device_id": f"{SITES[0]}-pw", "site_id": SITES[0], "seq": 1, "measured_at_ms": T0,
           "received_at_ms": T0}  # fmt: skip
    part.apply(Frame(0, Batch.of(make_batch([row]))))
    beat = Frame(1, Batch.of(make_batch([])), stream_time_ms=T0 + 70_000)
    assert [w.window_id for w in part.apply(beat).windows] == [f"{SITES[0]}|60|{T0}"]


def test_backfill_corrects_windows_and_leaves_the_twin_alone() -> None:
    part = partition()
    row = {"device_id": f"{SITES[0]}-pw", "site_id": SITES[0], "seq": 9, "battery_w": 100.0,
           "measured_at_ms": T0 + 90_000, "received_at_ms": T0 + 90_000}  # fmt: skip
    part.apply(Frame(0, Batch.of(make_batch([row]))))
    old = Frame(1, Batch.of(make_batch([row | {"seq": 8, "measured_at_ms": T0, "battery_w": 5.0}])))
    part.apply(dataclasses.replace(old, live=False))
    assert part.twins.describe(0)["battery_w"] == 100.0
    out = part.apply(Frame(2, Batch.of(make_batch([])), stream_time_ms=T0 + 110_000))
    assert [(w.start_ms, w.revision) for w in out.windows if w.size_s == 60] == [(T0, 0)]


def test_a_twin_goes_on_when_its_device_s_clock_is_set_back() -> None:
    part, offset = partition(), 0

    def hear(second: int, measured_s: int) -> int:
        """A live reading that is received then; returns when the twin's was received."""
        nonlocal offset
        row = {"device_id": f"{SITES[0]}-pw", "site_id": SITES[0], "seq": offset,
               "measured_at_ms": T0 + measured_s * 1000,
               "received_at_ms": T0 + second * 1000, "battery_w": 1.0}  # fmt: skip
        part.apply(Frame(offset, Batch.of(make_batch([row]))))
        offset += 1
        return (int(part.twins.latest().received_at_ms[0]) - T0) // 1000

    assert hear(0, 0) == 0
    assert [hear(second, -10) for second in (1, 3)] == [0, 0]  # it was overtaken
    heard = [hear(second, second - 1380) for second in range(4, 60)]
    silent_s = max(second - at for second, at in zip(range(4, 60), heard, strict=True))
    assert silent_s < Settings().silent_after_s
    assert heard[-1] == 59


def test_half_an_hour_s_mean_is_shared_by_quarters_and_told_of_no_minute() -> None:
    part = partition()
    row = {"device_id": f"{SITES[0]}-pw", "site_id": SITES[0], "seq": 1, "interval_ms": 1_800_000,
           "measured_at_ms": T0, "received_at_ms": T0 + 1_800_000, "battery_w": 100.0}  # fmt: skip
    part.apply(Frame(0, Batch.of(make_batch([row]))))
    end = T0 + 3_600_000
    out = part.apply(Frame(1, Batch.of(make_batch([])), stream_time_ms=end, watermark_ms=end))
    assert [(w.size_s, w.start_ms - T0, w.readings) for w in out.windows] == [
        (900, 0, 1),
        (900, 900_000, 0),
    ]
    assert [w.battery.energy_wh for w in out.windows] == [25.0, 25.0]


def test_state_does_not_grow_with_the_time_that_passes() -> None:
    part, sizes = partition(), []
    beat = Frame(0, Batch.of(make_batch([])), stream_time_ms=T0)
    for hour in range(1, 60):
        at = T0 + hour * 3_600_000
        row = {"device_id": f"{SITES[0]}-pw", "site_id": SITES[0], "seq": hour, "battery_w": 1.0,
               "measured_at_ms": at, "received_at_ms": at}  # fmt: skip
        part.apply(Frame(2 * hour, Batch.of(make_batch([row]))))
        part.apply(dataclasses.replace(beat, offset=2 * hour + 1, stream_time_ms=at + 1_000_000))
        sizes.append((len(part.snapshot().meta), len(part.windows.windows)))
    assert max(sizes[30:]) <= max(sizes[10:20])


# Clocks


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


@pytest.mark.parametrize("ahead_s", [86_400, 3_600, 120])
@pytest.mark.parametrize("who", ["ingest", "gateway"])
def test_a_clock_that_runs_ahead_bends_no_time(ahead_s: int, who: str) -> None:
    """Of one that ran a day ahead all of the next day's readings were too late."""
    told, honest = Poisoned(), Poisoned()
    for world in (told, honest):
        world.minutes(0, 100)
        if world is honest:
            world.frame(100, [], 99)
        elif who == "ingest":
            world.frame(100, [], 100 + ahead_s)
        else:
            world.report(100, ahead_s, device=SITES[1])
        world.minutes(101, 400)
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


# Names


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
