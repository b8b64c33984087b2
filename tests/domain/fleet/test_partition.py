"""One partition of the fleet against pandas, and against its own log read again."""

import dataclasses
import random
from typing import cast

import msgspec
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.windows import RegionPartial, RegionWindowPartial, SiteWindow
from tests.support.fleet_partition import POLICY, SITES, T0, newest, partition, run, stream
from tests.support.telemetry_factory import make_batch
from vpp_streams.domain.fleet.columnar import recover
from vpp_streams.domain.fleet.frames import Frame, Outputs
from vpp_streams.domain.fleet.twins import Batch
from vpp_streams.settings import Settings


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


# Names
