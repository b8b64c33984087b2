"""What must hold of a world's logs, whatever happened to its processes.

Everything here looks at Kafka alone: what the workers hold in memory is theirs.
"""

from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
from aiokafka import TopicPartition

import agents.fleet
from schemas.assets import Site
from schemas.encoding import HEADER_STREAM_TIME
from schemas.telemetry import NativeBody, RawLine
from schemas.windows import SiteWindow
from tests.simulation import PARTITIONS
from tests.simulation.log import Stored
from tests.simulation.plant import Plant
from tests.simulation.world import World
from tests.support.window_frames import windows_in
from vpp_streams.domain.fleet.columnar import COMMIT, recover
from vpp_streams.domain.fleet.frames import Clock
from vpp_streams.domain.fleet.partition import FleetPartition
from vpp_streams.domain.fleet.windows import WINDOW_COLUMNS
from vpp_streams.domain.registry.registry import Registry
from vpp_streams.domain.telemetry.normalize.checked import MAX_AHEAD_MS
from vpp_streams.kafka import topics
from vpp_streams.kafka.topic import Topic

NEAR_WH = 1e-6
STREAM_MARGIN_MS = 5_000
"""Stream time may be ahead of what the broker stamped by so much."""


def committed(world: World, topic: Topic[Any], partition: int) -> list[Stored]:
    """The records of a partition as a reader of committed ones sees them."""
    log = world.kafka.log(TopicPartition(topic.full("sim"), partition))
    return log.read(log.start, 1 << 60, committed=True)[0]


def _newest(records: list[Stored]) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = {}
    for record in records:
        if record.value is None:
            found.pop(record.key or b"", None)
        else:
            found[record.key or b""] = record.value
    return found


def snapshots(world: World, partition: int) -> list[int]:
    """Source offsets of a partition's snapshots, in the order in which they stand."""
    records = committed(world, topics.STATE_FLEET, partition)
    return [
        recovered.offset
        for record in records
        if record.key == COMMIT and record.value is not None
        if (recovered := recover({COMMIT: record.value})) is not None
    ]


def _telemetry(world: World, partition: int) -> list[Stored]:
    return committed(world, topics.TELEMETRY, partition)


def _has_readings(world: World, partition: int) -> int:
    """Offset of the last telemetry frame that is no heartbeat; -1 = there is none."""
    return max(
        (
            r.offset
            for r in _telemetry(world, partition)
            if HEADER_STREAM_TIME not in dict(r.headers)
        ),
        default=-1,
    )


def uncounted(world: World) -> str:
    """What is stored and has not gone through ingest into a fleet's snapshot; "" = nothing."""
    for topic in (*topics.LIVE_RAW, topics.RAW_BACKFILL):
        for partition in range(PARTITIONS):
            tp = TopicPartition(topic.full("sim"), partition)
            done = world.kafka.groups.committed("sim.ingest", [tp]).get(tp, 0)
            if done < world.kafka.log(tp).end:
                return f"{tp.topic}/{partition}: {done} of {world.kafka.log(tp).end} committed"
    for partition in range(PARTITIONS):
        last = _has_readings(world, partition)
        newest = max(snapshots(world, partition), default=-1)
        if last >= 0 and newest < last:
            return f"partition {partition}: the snapshot is at {newest}, readings at {last}"
    return ""


def check_one_writer(world: World) -> None:
    """Snapshots follow each other: a late writer changes nothing."""
    for partition in range(PARTITIONS):
        offsets = snapshots(world, partition)
        for before, after in pairwise(offsets):
            if after < before:
                world.fail(
                    f"partition {partition}: a snapshot as of {after} stands after one of {before}"
                )


def _registry(world: World) -> Registry:
    registry = Registry()
    for partition in range(PARTITIONS):
        for record in committed(world, topics.ASSETS, partition):
            registry.apply(msgspec.json.decode(record.value or b"", type=Site))
    return registry


def new_partition(registry: Registry, number: int, world: World) -> FleetPartition:
    """A fleet's partition with nothing in it."""
    policy = agents.fleet.policy_of(world.settings)
    return FleetPartition(number, topics.TELEMETRY.full("sim"), registry, policy)


def image(state: FleetPartition) -> dict[str, Any]:
    """All of a partition's state, to be compared."""
    twins = state.twins
    rows = len(twins.device_ids)
    blocks: dict[str, Any] = {
        f"twins {name}": _plain(array, rows) for name, array in twins.columns.arrays.items()
    }
    for key, window in state.windows.windows.items():
        for name, array in window.gather(np.arange(min(rows, window.rows))).items():
            # A window that no later reading has touched has fewer rows than there are devices.
            complete = WINDOW_COLUMNS[name].filled(rows)
            complete[..., : array.shape[-1]] = array
            blocks[f"window {key} {name}"] = complete.tobytes()
    blocks["devices"] = list(twins.device_ids)
    blocks["clock"] = msgspec.to_builtins(state.clock)
    blocks["offset"] = state.applied_offset
    return blocks


def _plain(array: Any, rows: int) -> Any:
    return array[..., :rows].tobytes()


def replayed(world: World, registry: Registry, partition: int, upto: int) -> FleetPartition:
    """A partition that has read its log from the beginning, up to and with an offset."""
    state = new_partition(registry, partition, world)
    for record in _telemetry(world, partition):
        if record.offset > upto:
            break
        state.apply(agents.fleet.read_frame(_as_record(record)))
    return state


class _as_record:  # noqa: N801 - it is used as a function
    """What `agents.fleet.read_frame` reads of a consumer's record."""

    def __init__(self, record: Stored) -> None:
        self.offset = record.offset
        self.value = record.value
        self.headers = record.headers
        self.timestamp = record.timestamp_ms


def check_replay(world: World) -> None:
    """A replay of the log from its beginning gives the state that the changelog holds."""
    registry = _registry(world)
    for partition in range(PARTITIONS):
        if _has_readings(world, partition) < 0:
            continue
        recovered = recover(_newest(committed(world, topics.STATE_FLEET, partition)))
        if recovered is None:
            continue
        restored = new_partition(registry, partition, world)
        restored.restore(recovered)
        fresh = replayed(world, registry, partition, recovered.offset)
        ours, again = image(restored), image(fresh)
        for name in sorted(ours.keys() | again.keys()):
            if ours.get(name) != again.get(name):
                world.fail(
                    f"partition {partition} at {recovered.offset}: {name} is"
                    f" {str(ours.get(name))[:300]}, a replay gives {str(again.get(name))[:300]}"
                )
                return


def check_stream_time(world: World) -> None:
    """No partition's time is ahead of what the broker has stamped."""
    for partition in range(PARTITIONS):
        recovered = recover(_newest(committed(world, topics.STATE_FLEET, partition)))
        if recovered is None:
            continue
        clock = msgspec.json.decode(recovered.meta, type=Clock)
        newest_ms = world.utc_ms() + 2_000
        if clock.stream_time_ms > newest_ms + STREAM_MARGIN_MS:
            world.fail(
                f"partition {partition}: stream time is {clock.stream_time_ms - newest_ms} ms"
                " ahead of the broker's clock"
            )


# Windows


def _believed(copies: list[RawLine], body: NativeBody) -> bool:
    return any(body.t - copy.received_at_ms <= MAX_AHEAD_MS for copy in copies)


def expected(plant: Plant, size_ms: int) -> dict[tuple[str, int], tuple[int, float]]:
    """(site, start) -> readings and battery energy, Wh: reckoned one by one, in plain Python."""
    sums: dict[tuple[str, int], list[float]] = defaultdict(lambda: [0, 0.0])
    for name, copies in plant.copies.items():
        body = plant.measured[name]
        if not _believed(copies, body):
            continue
        site = plant.homes[name[0]].site.site_id
        for start, ms, first in _parts(body.t, body.iv, size_ms):
            window = sums[site, start]
            window[0] += first
            window[1] += (body.p or 0.0) * ms / 3.6e6
    return {key: (int(n), wh) for key, (n, wh) in sums.items()}


def _parts(t: int, iv: int, size_ms: int) -> Iterator[tuple[int, int, bool]]:
    at = t
    while at < t + iv:
        start = at // size_ms * size_ms
        end = min(start + size_ms, t + iv)
        yield start, end - at, at == t
        at = end


def published(world: World, size_s: int) -> dict[tuple[str, int], SiteWindow]:
    """(site, start) -> the window as it stands: the highest revision; equal ones are equal."""
    found: dict[tuple[str, int], SiteWindow] = {}
    for partition in range(PARTITIONS):
        for record in committed(world, topics.SITE_WINDOWS, partition):
            for window in windows_in(record.value or b"", record.headers):
                if window.size_s != size_s:
                    continue
                key = (window.site_id, window.start_ms)
                known = found.get(key)
                if known is not None and known.revision == window.revision and known != window:
                    world.fail(f"two {window.window_id} of revision {window.revision} differ")
                if known is None or window.revision >= known.revision:
                    found[key] = window
    return found


def check_windows(world: World, plant: Plant) -> None:
    """Every reading that is stored and believed counts once in its site's windows."""
    policy = agents.fleet.policy_of(world.settings)
    size_ms = policy.sizes_ms[0]
    windows = published(world, size_ms // 1000)
    open_since: dict[str, int] = {}
    for partition in range(PARTITIONS):
        recovered = recover(_newest(committed(world, topics.STATE_FLEET, partition)))
        if recovered is not None:
            clock = msgspec.json.decode(recovered.meta, type=Clock)
            for site in plant.sites_of(partition):
                open_since[site] = clock.next_close_ms.get(size_ms, 0)
    for (site, start), (readings, wh) in sorted(expected(plant, size_ms).items()):
        if start >= open_since.get(site, 0):
            continue
        window = windows.get((site, start))
        if window is None:
            world.fail(f"the window of {site} at {start} is missing; it has {readings} readings")
            return
        energy = window.battery.energy_wh if window.battery is not None else 0.0
        if window.readings != readings or abs(energy - wh) > NEAR_WH:
            world.fail(
                f"the window of {site} at {start} has {window.readings} readings and"
                f" {energy:.6f} Wh; it should have {readings} and {wh:.6f}"
            )
            return
