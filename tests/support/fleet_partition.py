"""A fleet partition of two regions, and streams of telemetry frames to apply to it."""

import random
from operator import itemgetter

from schemas.assets import Device, Site
from schemas.bounds import PARTITIONS
from schemas.windows import SiteWindow
from tests.support.telemetry_factory import make_batch
from vpp_streams.domain.fleet.frames import Frame, Outputs, Policy
from vpp_streams.domain.fleet.partition import FleetPartition
from vpp_streams.domain.fleet.twins import Batch
from vpp_streams.domain.registry.hashing import partition_of
from vpp_streams.domain.registry.registry import Registry

T0 = 1_800_000_000_000  # a whole 15 minutes
POLICY = Policy(retention_ms=3 * 3_600_000)
SITES = [s for s in (f"home-{i:03}" for i in range(60)) if partition_of(s, PARTITIONS) == 0][:5]


def registry() -> Registry:
    """Return sites in the regions north and coast."""
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
    """Return an empty partition with this registry."""
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
    """Apply frames in order and return what each one produces."""
    return [part.apply(frame) for frame in frames]


def newest(outs: list[Outputs]) -> dict[str, SiteWindow]:
    """Return the newest revision of each window, by its id; revisions rise by one."""
    windows: dict[str, SiteWindow] = {}
    for out in outs:
        for record in out.windows:
            before = windows.get(record.window_id)
            assert record.revision == (before.revision + 1 if before else 0)
            windows[record.window_id] = record
    return windows
