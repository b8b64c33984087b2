"""From a target's shares to all setpoint frames: every battery of the fleet gets another setpoint.

    python -m benchmarks.orders

What the fleet role does when the region's orders come, for all 8 partitions in one process: look
at the partition, share the order out, make the commands, encode their frames. With Kafka: from the
orders until the broker has every frame, in the topic for the gateways and in the audit trail. The
ratio is to only encoding the same frames; a look is shared by all orders of a moment.
"""

import argparse
import asyncio
import gc
import time
import uuid
from collections.abc import Iterator, Sequence
from statistics import median

import numpy as np
from aiokafka import AIOKafkaProducer

from benchmarks.homes import T0_MS, Homes
from benchmarks.report import Table, cpu_s, parser, progress, publish
from benchmarks.world import world
from schemas.bounds import GATEWAY_SLOTS, PARTITIONS
from schemas.commands import CommandFrame
from schemas.dispatch import Dispatch, Share
from schemas.encoding import encode_json
from schemas.presence import Presence
from vpp_streams.domain.control.command_rows import CommandRows
from vpp_streams.domain.control.lease import LeasePolicy
from vpp_streams.domain.control.orders import Orders
from vpp_streams.domain.control.pool import Pool
from vpp_streams.domain.fleet.frames import Frame, Policy
from vpp_streams.domain.fleet.partition import FleetPartition
from vpp_streams.domain.fleet.twins import Batch
from vpp_streams.domain.registry.registry import Registry
from vpp_streams.kafka import topics
from vpp_streams.settings import Settings, load_settings

REGION = "north"
ROWS = 10_000


class Partition:
    """Homes that are connected and have reported once."""

    def __init__(self, partition: int, registry: Registry) -> None:
        self.fleet = FleetPartition(partition, "telemetry", registry, Policy())
        self.rows = CommandRows(partition, self.fleet.twins, LeasePolicy())
        self.pool = Pool(self.fleet, self.rows)
        self.orders = Orders(self.pool)

    def take(self, batch: Batch) -> None:
        """Apply readings, and the connections of their devices."""
        self.fleet.apply(Frame(self.fleet.applied_offset + 1, batch))
        ids = zip(batch.device_id.to_pylist(), batch.site_id.to_pylist(), strict=True)
        for device_id, site_id in ids:
            slot = hash(site_id) % GATEWAY_SLOTS
            self.rows.presence(Presence(device_id, site_id, "connected", slot, T0_MS), 1)

    def obey(self, share_w: float, now_ms: int) -> list[CommandFrame]:
        """The commands for another share of the region's target."""
        order = Dispatch(
            region=REGION, partition=self.fleet.partition, request_id="t1", issued_at_ms=now_ms,
            asked_at_ms=now_ms, until_ms=now_ms + 3_600_000, shares=(Share("", share_w),),
        )  # fmt: skip
        return self.orders.carry_out(order, self.pool.view_at(now_ms))


def fleet_of(devices: int) -> list[Partition]:
    """All partitions of a fleet."""
    homes = Homes(devices, regions=(REGION,))
    registry = Registry(homes.sites())
    parts = [Partition(p, registry) for p in range(PARTITIONS)]
    for p, batch in homes.by_partition(0, ROWS):
        parts[p].take(Batch.of(batch))
    return parts


class Targets:
    """A sequence of targets, each of which changes the power of every battery."""

    def __init__(self, parts: list[Partition], devices: int) -> None:
        self.parts = parts
        self._each_w = devices / len(parts) * 1000.0
        self._now_ms = T0_MS + 1500
        self._sign = -1.0

    def next(self) -> list[CommandFrame]:
        """All frames of the next target."""
        return list(self.frames())

    def frames(self) -> Iterator[CommandFrame]:
        """The same, a partition's when they are wanted, as the fleet role makes them."""
        self._now_ms += 100
        self._sign = -self._sign
        share_w = self._sign * self._each_w
        return (frame for part in self.parts for frame in part.obey(share_w, self._now_ms))


async def written_s(targets: Targets, settings: Settings, repeat: int) -> list[float]:
    """Seconds from the orders until Kafka has every frame twice."""
    took = []
    async with world(settings) as producer:
        for _ in range(repeat):
            gc.collect()
            began = time.perf_counter()
            waiting = []
            for frame in targets.frames():
                waiting += await _send(producer, settings, frame)
            await asyncio.gather(*waiting)
            took.append(time.perf_counter() - began)
    return took


async def _send(
    producer: AIOKafkaProducer, settings: Settings, frame: CommandFrame
) -> list[asyncio.Future[object]]:
    value, key = encode_json(frame), frame.region.encode()
    places = ((topics.GATEWAY_OUT, frame.slot), (topics.COMMANDS, frame.partition))
    return [
        await producer.send(topic.full(settings.namespace), value, key=key, partition=partition)
        for topic, partition in places
    ]


def measure(devices: int, repeat: int, kafka: bool) -> Table:
    """Measure one fleet."""
    progress(f"{devices:,} devices connect")
    targets = Targets(fleet_of(devices), devices)
    gc.collect()
    gc.freeze()
    frames = targets.next()
    commanded = sum(len(frame.rows) for frame in frames)
    assert commanded >= 0.9 * devices, f"{commanded} of {devices} devices can be commanded"
    moved_w = sum(row.setpoint_w or 0.0 for frame in frames for row in frame.rows)
    assert np.isclose(moved_w, devices * 1000.0), moved_w
    progress("targets")
    made_s = cpu_s(targets.next, repeat)
    encode_s = cpu_s(lambda: [encode_json(frame) for frame in frames], repeat)
    table = Table(
        f"A target to {commanded:,} setpoints in {len(frames)} frames",
        ("what", "x encode", "ms", "setpoints per s"),
    )
    rows = {"orders to frames, CPU": made_s, "and encoded, CPU": made_s + encode_s}
    if kafka:
        settings = load_settings(namespace=f"bench-{uuid.uuid4().hex[:8]}")
        rows["until Kafka has all, wall"] = median(
            asyncio.run(written_s(targets, settings, repeat))
        )
    for name, seconds in (rows | {"only encode": encode_s}).items():
        table.add(name, seconds / encode_s, seconds * 1e3, round(commanded / seconds))
    size = sum(len(encode_json(frame)) for frame in frames)
    table.notes.append(f"{size / commanded:.0f} bytes per setpoint, written to two topics")
    return table


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    options = parser(__doc__, repeat=5)
    options.add_argument("--devices", type=int, nargs="+", default=[10_000, 100_000, 500_000])
    options.add_argument("--kafka", action=argparse.BooleanOptionalAction, default=True,
                         help="also write the frames")  # fmt: skip
    args = options.parse_args(argv)
    tables = [measure(devices, args.repeat, args.kafka) for devices in args.devices]
    publish(args, tables, load_settings().kafka if args.kafka else None)


if __name__ == "__main__":
    main()
