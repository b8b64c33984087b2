"""One point of `benchmarks.growth`: the fleet role's partitions in a process of their own."""

import gc
import os
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.homes import T0_MS, Homes
from schemas.bounds import PARTITIONS
from schemas.encoding import encode_json
from vpp_streams.domain.fleet.frames import Frame, Policy
from vpp_streams.domain.fleet.partition import FleetPartition
from vpp_streams.domain.fleet.twins import Batch
from vpp_streams.domain.registry.registry import Registry


@dataclass(frozen=True, slots=True)
class Point:
    """The size of the system that one process measures."""

    devices: int
    partitions: int = PARTITIONS
    """Number of partitions with devices: 1, 2, 4 or 8."""
    regions: int = 3
    seconds: int = 3
    rows: int = 1000


@dataclass(frozen=True, slots=True)
class Measured:
    """Per reading, or per device."""

    apply_us: float
    snapshot_us: float
    tick_ms: float
    """Of all partitions, once every half second of stream time."""
    changelog_bytes: float
    rss_bytes: float
    """Growth of the process's memory per device: twins, two open windows, roster, registry."""

    @property
    def reading_us(self) -> float:
        """Total CPU time of a reading, us."""
        return self.apply_us + self.snapshot_us


def measure(point: Point) -> Measured:
    """Measure in this process."""
    regions = [f"region-{i:02}" for i in range(point.regions)]
    homes = Homes(point.devices, range(point.partitions), regions)
    after_homes = _rss()
    registry = Registry(homes.sites())
    parts = {p: FleetPartition(p, "telemetry", registry, Policy()) for p in range(point.partitions)}
    spent = dict.fromkeys(("apply", "snapshot"), 0.0)
    changelog = 0
    for second in range(point.seconds + 1):
        # The first second makes the rows: it is applied in one frame per partition.
        rows = point.rows if second else point.devices
        for p, batch in homes.by_partition(second, rows):
            frame = Frame(parts[p].applied_offset + 1, Batch.of(batch))
            began = time.process_time()
            out = parts[p].apply(frame)
            for record in (*out.windows, *out.partials, *out.rejected):
                encode_json(record)
            spent["apply"] += (time.process_time() - began) if second else 0
        for part in parts.values():
            began = time.process_time()
            writes = list(part.snapshot().writes())
            if second:
                spent["snapshot"] += time.process_time() - began
                changelog += sum(len(value or b"") for _, value in writes)
    grown = _rss() - after_homes
    readings = point.devices * point.seconds
    return Measured(
        apply_us=spent["apply"] / readings * 1e6,
        snapshot_us=spent["snapshot"] / readings * 1e6,
        tick_ms=_tick_s(parts, point) * 1e3,
        changelog_bytes=changelog / readings,
        rss_bytes=grown / point.devices,
    )


def _tick_s(parts: dict[int, FleetPartition], point: Point) -> float:
    """CPU seconds of one tick of all partitions: heartbeats, half a second apart."""
    nothing = Batch.of(Homes(1).batches(0, 1)[0].slice(0, 0))
    spent = []
    for n in range(1, 6):
        began = time.process_time()
        for part in parts.values():
            at_ms = T0_MS + (point.seconds + 1) * 1000 + n * 500
            out = part.apply(Frame(part.applied_offset + 1, nothing, stream_time_ms=at_ms))
            for record in out.partials:
                encode_json(record)
        spent.append(time.process_time() - began)
    return statistics.median(spent)


def _rss() -> int:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def kept_bytes(devices: int, minutes: int) -> float:
    """Memory per device, including its twin, with this many minutes of windows kept."""
    homes, nobody, policy = Homes(devices), Registry(), Policy()
    before = _rss()
    parts = {p: FleetPartition(p, "telemetry", nobody, policy) for p in range(PARTITIONS)}
    for minute in range(minutes):
        for p, batch in homes.by_partition(minute * 60, devices):
            parts[p].apply(Frame(parts[p].applied_offset + 1, Batch.of(batch)))
    return (_rss() - before) / devices
