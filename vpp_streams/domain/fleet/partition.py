"""One partition of the fleet: a pure function of its log.

`FleetPartition.apply` takes one canonical frame and returns the records to publish. Time
is data here: it moves with the frames (their received times and heartbeats), never with a
clock, so the same log gives the same records at any speed, in a replay or after a crash.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import msgspec
import numpy as np
from numpy.typing import NDArray

from schemas.telemetry import POWER_COLUMNS, Quality
from schemas.windows import RegionPartial, RegionWindowPartial, SiteWindow
from vpp_streams.domain.fleet.columnar import BLOCK_ROWS, Blocks, Recovered, Snapshot, decode_block
from vpp_streams.domain.fleet.frames import Clock, Frame, Outputs, Policy
from vpp_streams.domain.fleet.plain_frames import FRESH_BUCKET_MS, PlainFrames
from vpp_streams.domain.fleet.rejects import bad_frame, maybe_repeat, too_late
from vpp_streams.domain.fleet.rollup import (
    Ratings,
    WindowRows,
    aggregate_regions,
    region_window_partials,
)
from vpp_streams.domain.fleet.roster import SiteRoster
from vpp_streams.domain.fleet.site_sums import Key
from vpp_streams.domain.fleet.site_windows import SiteWindows
from vpp_streams.domain.fleet.twins import Batch, Twins
from vpp_streams.domain.fleet.window_batches import records_of
from vpp_streams.domain.fleet.windows import Samples
from vpp_streams.domain.registry.registry import Registry
from vpp_streams.domain.telemetry.dedupe import Judged

CORRECTION_MS = 10_000
"""Corrections of closed windows are published this often, in stream time."""
SKEW_MARGIN_MS = 2_000
"""A clock may run ahead of the broker's by this much: NTP keeps within a tenth of a second, and a
virtual machine that was just resumed within one or two."""
STEP_BACK_MS = 60_000
"""Stream time this far ahead of the broker is moved back: the broker's own clock was set back, or
the state is of a version that trusted any clock."""
_PLAIN = {"duplicates": 0, "too_late": 0, "maybe_repeats": 0, "boots_reused": 0}
"""What a frame in the usual case has none of."""


class FleetPartition:
    """Twins, site windows and region shares of the sites of one partition."""

    def __init__(self, partition: int, topic: str, registry: Registry, policy: Policy) -> None:
        self.partition = partition
        self.topic = topic
        self.policy = policy
        self.applied_offset = -1
        self.twins = Twins()
        self.windows = SiteWindows(policy.sizes_ms)
        self.roster = SiteRoster(partition, registry, self.twins)
        self.clock = Clock()
        self.skew_ms = 0
        """Most that a clock was observed to run ahead of the broker's, ms."""
        self._dropped: list[str] = []
        self._plain = PlainFrames(self.twins, self.windows)

    def apply(self, frame: Frame) -> Outputs:
        """Apply one frame, once: a frame that was applied before changes nothing."""
        out = Outputs()
        for _ in self.steps(frame, out):
            pass
        return out

    def steps(self, frame: Frame, out: Outputs) -> Iterator[None]:
        """As `apply`, but in steps of some milliseconds each: a frame may close windows of
        thousands of sites. Nothing else may be applied before the last one.
        """
        if frame.offset <= self.applied_offset:
            out.counts["replayed_frames"] += 1
            return
        self.applied_offset = frame.offset
        self._step_back(frame)
        if len(frame.batch):
            self._apply_readings(frame, out)
        yield from self._advance(frame, out)

    def refuse(self, offset: int, value: bytes | None, why: str, now_ms: int) -> Outputs:
        """Turn a record that is no canonical frame into a dead letter."""
        out = Outputs()
        if offset > self.applied_offset:
            self.applied_offset = offset
            out.rejected.append(
                bad_frame(self.topic, self.partition, offset, value=value, why=why, now_ms=now_ms)
            )
            out.counts["bad_frames"] += 1
        return out

    def _apply_readings(self, frame: Frame, out: Outputs) -> None:
        batch = self._received_in_time(frame, out)
        horizon_ms = self.clock.watermark_ms - self.policy.retention_ms
        if frame.live and self._apply_plain(batch, horizon_ms):
            out.counts.update(_PLAIN, readings=len(batch))
            return
        rows = self.twins.rows_of(batch)
        each_once = self.twins.each_once(rows)
        bad = batch["quality"] == Quality.BAD
        none_bad = not bad.any()
        judged = self.twins.accept(
            rows, batch, None if none_bad else bad, horizon_ms, each_once=each_once
        )
        expired = batch["measured_at_ms"] + batch["interval_ms"] <= horizon_ms
        kept = self._kept(frame, judged, expired, out)
        samples = Samples(
            row=rows,
            measured_at_ms=batch["measured_at_ms"],
            interval_ms=batch["interval_ms"].astype(np.int64),
            power_w=np.stack([batch[name] for name in POWER_COLUMNS]),
            soc=batch["soc"],
            estimated=batch["quality"] != Quality.OK,
        )
        if not none_bad:
            samples = samples.without_bad(bad)
            out.counts["bad"] += int(bad[kept].sum())
        if len(kept) < len(batch):
            samples = samples.take(kept)
        self.windows.add(samples, len(self.twins.device_ids), each_once=each_once)
        if frame.live:
            self.twins.update(rows, batch, kept, each_once=each_once)
            self._note_fresh(samples.row, samples.measured_at_ms)
        out.counts["readings"] += len(batch)

    def _apply_plain(self, batch: Batch, horizon_ms: int) -> bool:
        found = self._plain.apply(self.roster.ratings(), batch, horizon_ms)
        if found is None:
            return False
        for region, times in found.items():
            self._add_fresh(region, times)
        return True

    def _add_fresh(self, region: str, times: Mapping[int, int]) -> None:
        fresh = self.clock.fresh.setdefault(region, {})
        for time_ms, count in times.items():
            fresh[time_ms] = fresh.get(time_ms, 0) + count

    def _kept(
        self, frame: Frame, judged: Judged, expired: NDArray[np.bool_], out: Outputs
    ) -> NDArray[np.int64]:
        """The readings to count; those that cannot be are dead letters."""
        new = judged.new
        late = np.flatnonzero(new & expired).tolist() if expired.any() else []
        for i in sorted({*late, *(i for i in judged.unclear if expired[i])}):
            out.rejected.append(too_late(self.topic, self.partition, frame.offset, i, frame.batch))
        unclear = [i for i in judged.unclear if not expired[i]]
        for i in unclear:
            letter = maybe_repeat(self.topic, self.partition, frame.offset, i, frame.batch)
            out.rejected.append(letter)
        out.counts.update(
            duplicates=len(new) - int(new.sum()) - len(judged.unclear),
            too_late=len(out.rejected) - len(unclear),
            maybe_repeats=len(unclear),
            boots_reused=judged.boots_reused,
        )
        return np.flatnonzero(new & ~expired)

    def _received_in_time(self, frame: Frame, out: Outputs) -> Batch:
        """The frame's readings, none received after the broker stored them."""
        most_ms = self._most_ms(frame)
        received_ms = frame.batch["received_at_ms"]
        if most_ms is None or int(received_ms.max()) <= most_ms:
            return frame.batch
        self._note_skew(int(received_ms.max()), most_ms, out)
        columns = {**frame.batch.columns, "received_at_ms": np.minimum(received_ms, most_ms)}
        return replace(frame.batch, columns=columns)

    def _most_ms(self, frame: Frame) -> int | None:
        """The latest time that a frame may state; None = any."""
        return None if frame.record_time_ms is None else frame.record_time_ms + SKEW_MARGIN_MS

    def _note_skew(self, told_ms: int, most_ms: int, out: Outputs) -> None:
        self.skew_ms = max(self.skew_ms, told_ms - most_ms + SKEW_MARGIN_MS)
        out.counts["clock_skew"] += 1

    def _note_fresh(self, rows: NDArray[np.int64], measured_at_ms: NDArray[np.int64]) -> None:
        """Count live readings by region and time, from which their age when first shown follows."""
        ratings = self.roster.ratings()
        bucket = measured_at_ms // FRESH_BUCKET_MS * FRESH_BUCKET_MS
        region = ratings.region[ratings.site[rows]].astype(np.int64)
        regions = len(ratings.regions) + 1  # the first: not registered
        pairs, counts = np.unique(bucket * regions + region + 1, return_counts=True)
        for pair, count in zip(pairs.tolist(), counts.tolist(), strict=True):
            time_ms, at = divmod(pair, regions)
            if at > 0:
                self._add_fresh(ratings.regions[at - 1], {time_ms: count})

    def _advance(self, frame: Frame, out: Outputs) -> Iterator[None]:
        """Advance time as far as this frame states, then close, correct and tick."""
        clock, batch = self.clock, frame.batch
        most_ms = self._most_ms(frame)
        event_time = frame.stream_time_ms or 0
        if most_ms is not None and event_time > most_ms:
            self._note_skew(event_time, most_ms, out)
            event_time = most_ms
        received = event_time
        if frame.live and len(batch):
            received = max(received, int(batch["received_at_ms"].max()))
            # A device clock that runs ahead must not close windows early.
            measured = np.minimum(batch["measured_at_ms"], batch["received_at_ms"])
            event_time = max(event_time, int(measured.max()))
            if most_ms is not None:
                received, event_time = min(received, most_ms), min(event_time, most_ms)
        clock.stream_time_ms = max(clock.stream_time_ms, received)
        watermark = frame.watermark_ms or event_time - self.policy.lateness_ms
        clock.watermark_ms = max(clock.watermark_ms, watermark)
        for size_ms in self.policy.sizes_ms:
            yield from self._close(size_ms, out)
        if frame.watermark_ms or clock.stream_time_ms >= clock.next_correction_ms:
            clock.next_correction_ms = _after(clock.stream_time_ms, CORRECTION_MS)
            yield from self._correct(out)
            self._expire()
            self.windows.choose_to_pack(clock.next_close_ms)
        self.windows.pack_next()
        if clock.stream_time_ms >= clock.next_tick_ms:
            clock.next_tick_ms = _after(clock.stream_time_ms, self.policy.tick_ms)
            self._tick(out)

    def _step_back(self, frame: Frame) -> None:
        """Move back a time that some clock moved ahead of the broker's.

        What was closed stays closed: readings that follow correct it.
        """
        clock, most_ms = self.clock, self._most_ms(frame)
        if most_ms is not None and clock.stream_time_ms > most_ms + STEP_BACK_MS:
            for name in ("stream_time_ms", "watermark_ms", "next_tick_ms", "next_correction_ms"):
                setattr(clock, name, min(getattr(clock, name), most_ms))

    def _close(self, size_ms: int, out: Outputs) -> Iterator[None]:
        clock = self.clock
        if clock.watermark_ms <= 0:
            return
        last = clock.watermark_ms // size_ms * size_ms
        start = clock.next_close_ms.get(size_ms, last)
        # After a gap longer than the retention there is nothing to close in between.
        start = max(start, (last - self.policy.retention_ms) // size_ms * size_ms)
        while start + size_ms <= clock.watermark_ms:
            yield from self._publish((size_ms, start), out, closing=True)
            start += size_ms
        clock.next_close_ms[size_ms] = start

    def _correct(self, out: Outputs) -> Iterator[None]:
        for key in sorted(self.windows.dirty):
            if key[1] < self.clock.next_close_ms.get(key[0], 0):
                yield from self._publish(key, out, closing=False)

    def _publish(self, key: Key, out: Outputs, *, closing: bool) -> Iterator[None]:
        """Publish the sites with changes, and the regions that they move."""
        rows, ratings = self.roster.rows(), self.roster.ratings()
        pending = self.windows.pending(key, rows)
        published = []
        for sites in self.windows.pieces(key, pending):
            sums = self.windows.publish(key, sites, rows)
            published.append(sums.window_rows(ratings.region))
            out.sums.append(sums)
            corrections = int((sums.revision > 0).sum())
            out.counts.update(
                windows_closed=len(sums.revision) - corrections, corrections=corrections
            )
            yield
        moved = np.bincount(ratings.region[pending] + 1, minlength=1)  # the first: not registered
        regions = {ratings.regions[code] for code in np.flatnonzero(moved[1:]).tolist()}
        if closing:
            regions |= set(ratings.regions)
        if not regions:
            return
        every = self.windows.sites(key, rows)
        if len(every) > len(pending):
            published.clear()
            for sites in self.windows.pieces(key, every):
                published.append(self.windows.sums(key, sites, rows).window_rows(ratings.region))
                yield
        self._publish_regions(key, WindowRows.joined(published), ratings, regions, out)
        yield

    def _publish_regions(
        self, key: Key, sites: WindowRows, ratings: Ratings, regions: set[str], out: Outputs
    ) -> None:
        size_ms, start_ms = key
        shares = region_window_partials(sites, ratings.regions, ratings.sites_expected)
        revisions = self.clock.region_revisions.setdefault(_name(key), {})
        for region in sorted(regions & shares.keys()):
            revisions[region] = revisions.get(region, -1) + 1
            out.partials.append(
                RegionWindowPartial(
                    region=region,
                    partition=self.partition,
                    start_ms=start_ms,
                    size_s=size_ms // 1000,
                    revision=revisions[region],
                    sums=shares[region],
                )
            )

    def _tick(self, out: Outputs) -> None:
        aggregates = aggregate_regions(
            self.twins.latest(),
            self.roster.ratings(),
            self.clock.stream_time_ms,
            self.policy.silent_after_ms,
        )
        tick_ms = self.clock.next_tick_ms - self.policy.tick_ms
        for region in sorted(aggregates):
            out.partials.append(
                RegionPartial(
                    region=region,
                    partition=self.partition,
                    tick_ms=tick_ms,
                    aggregate=aggregates[region],
                    fresh=tuple(sorted(self.clock.fresh.get(region, {}).items())),
                )
            )
        self.clock.fresh = {}

    def _expire(self) -> None:
        """Forget windows that no reading can change any more, and their published revisions."""
        before_ms = self.clock.watermark_ms - self.policy.retention_ms
        for key in self.windows.expire(before_ms):
            self._dropped += [
                f"w|{_name(key)}|{block}"
                for block in range(-(-len(self.twins.device_ids) // BLOCK_ROWS))
            ]
        # Also of windows in which this partition had no reading, and so no columns.
        revisions = self.clock.region_revisions
        for name in [name for name in revisions if _end_ms(name) <= before_ms]:
            del revisions[name]

    def not_believed(self) -> int:
        """Number of devices that report and whose newest reading is bad."""
        return self.twins.not_believed(self.clock.stream_time_ms - self.policy.silent_after_ms)

    def site_windows_now(self, site_id: str, size_ms: int) -> list[SiteWindow]:
        """The site's windows of one size as of now, open ones included, oldest first."""
        rows = self.roster.rows()
        if site_id not in rows.site_ids:
            return []
        site = np.array([rows.site_ids.index(site_id)])
        keys = sorted(key for key in self.windows.windows if key[0] == size_ms)
        return [r for key in keys for r in records_of(self.windows.sums(key, site, rows))]

    unsaved = False
    """Always False: only frames change the state."""

    def begin_log(self) -> None:
        """Continue with another log, whose offsets begin again: names identify repeats."""
        self.applied_offset = -1

    def snapshot(self) -> Snapshot:
        """What has changed since the last snapshot, as of the frame applied last."""
        twins = self.twins
        blocks = {f"n|{block}": twins.names_of(block) for block in sorted(twins.renamed)}
        blocks |= {f"t|{block}": twins.copy(block) for block in sorted(twins.columns.changed)}
        twins.renamed.clear()
        twins.columns.changed.clear()
        for key, window in self.windows.windows.items():
            blocks |= {f"w|{_name(key)}|{block}": batch for block, batch in window.copies()}
        dropped, self._dropped = tuple(self._dropped), []
        meta = msgspec.json.encode(self.clock)
        return Snapshot(self.applied_offset, meta, Blocks(blocks), dropped)

    def restore(self, recovered: Recovered) -> None:
        """Take the place of the partition whose snapshot this is."""
        self.applied_offset = recovered.offset
        self.clock = msgspec.json.decode(recovered.meta, type=Clock)
        names = sorted(recovered.blocks, key=_block_no)
        for name in names:
            if name.startswith("n|"):
                self.twins.load_names(_block_no(name), decode_block(recovered.blocks[name]))
        for name in reversed(names):  # the last block first: columns grow once
            if name.startswith("t|"):
                self.twins.load(_block_no(name), decode_block(recovered.blocks[name]))
            elif name.startswith("w|"):
                _, size_ms, start_ms, block = name.split("|")
                key, encoded = (int(size_ms), int(start_ms)), recovered.blocks[name]
                self.windows.load(key, int(block), encoded, self.clock.next_close_ms)
        self._expire()


def _after(time_ms: int, step_ms: int) -> int:
    return (time_ms // step_ms + 1) * step_ms


def _name(key: Key) -> str:
    return f"{key[0]}|{key[1]}"


def _end_ms(name: str) -> int:
    size_ms, start_ms = name.split("|")
    return int(size_ms) + int(start_ms)


def _block_no(name: str) -> int:
    return int(name.rsplit("|", 1)[1])
