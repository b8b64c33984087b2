"""Region windows in the making: each partition's newest share of each window, for a day.

A plain Faust table with set-semantics: key ``<region>|<size_s>|<start_ms>|<partition>``, value
the share as it came (JSON). A share that is applied twice is the same share.
"""

from collections.abc import Awaitable, Iterable

import faust

from schemas.windows import RegionWindowPartial
from vpp_streams.codecs import decode_json, encode_json
from vpp_streams.domain.region_pace import WindowKey
from vpp_streams.topics import DAY_MS, PARTITIONS

RETENTION_MS = DAY_MS
"""In stream time: windows that ended longer ago than this before the newest are forgotten."""


class RegionShares:
    """The table; its one partition belongs to the worker that reads ``region.partials``."""

    def __init__(self, app: faust.App) -> None:
        self.table: faust.Table[bytes, bytes] = app.Table(
            "region-shares",
            partitions=1,
            key_type=bytes,
            value_type=bytes,
            store="memory://",
        )

    def of(self, window: WindowKey) -> dict[int, RegionWindowPartial]:
        """Partition -> its newest share of the window."""
        data = self.table.data
        found = ((p, data.get(_key(window, p))) for p in range(PARTITIONS))
        return {p: decode_json(value, RegionWindowPartial) for p, value in found if value}

    async def put(self, share: RegionWindowPartial) -> Awaitable[object]:
        """Keep a share; it survives a crash once the future is done."""
        key = _key(WindowKey(share.region, share.size_s, share.start_ms), share.partition)
        return await self._write(key, encode_json(share))

    async def expire(self, newest_ms: int) -> tuple[list[WindowKey], list[Awaitable[object]]]:
        """Forget the windows that ended a retention before; returns them, and the deletions."""
        before_ms = newest_ms - RETENTION_MS
        gone = [w for w in self.windows() if w.start_ms + w.size_s * 1000 <= before_ms]
        keys = [_key(window, p) for window in gone for p in range(PARTITIONS)]
        return gone, [await self._write(key, None) for key in keys if key in self.table.data]

    def windows(self) -> Iterable[WindowKey]:
        """Every window that has a share, oldest first."""
        return sorted({_window(key) for key in self.table.data}, key=lambda w: w.start_ms)

    def mine(self, app: faust.App) -> bool:
        """Whether this worker holds the table's partition now."""
        name = self.table.changelog_topic.get_topic_name()
        return any(tp.topic == name for tp in app.assignor.assigned_actives())

    async def _write(self, key: bytes, value: bytes | None) -> Awaitable[object]:
        # ``table[key] = value`` would send the same, but give no future to wait for.
        sent: Awaitable[object] = await self.table.changelog_topic.send(
            key=key, value=value, partition=0
        )
        if value is None:
            del self.table.data[key]
        else:
            self.table.data[key] = value
        return sent


def _key(window: WindowKey, partition: int) -> bytes:
    return f"{window.region}|{window.size_s}|{window.start_ms}|{partition}".encode()


def _window(key: bytes) -> WindowKey:
    region, size_s, start_ms, _ = key.decode().rsplit("|", 3)
    return WindowKey(region, int(size_s), int(start_ms))
