"""Readings of 300 sites in disorder, and what must be counted of them: by pandas, exactly."""

import base64
import random
from typing import Any, cast

import orjson
import pandas as pd
import pytest

from schemas.assets import Device, Site
from schemas.bounds import PARTITIONS
from schemas.encoding import HEADER_WATERMARK, decode_json, encode_frame, encode_json, frame_headers
from schemas.telemetry import SCHEMA_NAME, Rejected
from schemas.windows import SiteWindow
from tests.support.kafka_world import read_all
from tests.support.telemetry_factory import make_batch
from tests.support.window_frames import windows_in
from vpp_streams.domain.registry.hashing import partition_of
from vpp_streams.kafka import topics
from vpp_streams.kafka.clients import KafkaClients
from vpp_streams.kafka.topic import Topic
from vpp_streams.settings import Settings

SITES = 300
T0 = 1_800_000_000_000
HOUR_MS = 3_600_000
FRAME_ROWS = 500


def sites() -> list[Site]:
    return [
        Site(f"home-{i:03}", f"region-{i % 3}",
             (Device(f"home-{i:03}-pw", "powerwall", rated_energy_wh=13_500),))
        for i in range(SITES)
    ]  # fmt: skip


def readings(rng: random.Random, seconds: int) -> pd.DataFrame:
    """What the devices measured, in the order in which it arrives: 20 % out of order, 5 % late."""
    n = SITES * seconds
    frame = pd.DataFrame(
        {
            "site": [i // seconds for i in range(n)],
            "seq": [i % seconds for i in range(n)],
            "battery_w": [rng.uniform(-5000, 5000) for _ in range(n)],
            "soc": [rng.random() for _ in range(n)],
            "measured_at_ms": [T0 + i % seconds * 1000 + rng.randrange(900) for i in range(n)],
        }
    )
    late = [rng.random() < 0.05 for _ in range(n)]
    frame.loc[late, "measured_at_ms"] -= [
        rng.randrange(HOUR_MS, 3 * HOUR_MS) for _ in range(sum(late))
    ]
    frame["received_at_ms"] = T0 + frame.seq * 1000 + 1000
    disorder = pd.Series([rng.uniform(0, 20) if rng.random() < 0.2 else 0 for _ in range(n)])
    frame["at"] = frame.seq + disorder
    again = frame.sample(frac=0.1, random_state=rng.randrange(2**31)).assign(
        at=lambda f: f["at"] + 3
    )
    return pd.concat([frame, again]).sort_values("at", kind="stable").reset_index(drop=True)


def raw_frames(
    arrivals: pd.DataFrame, rng: random.Random
) -> tuple[list[tuple[int, bytes]], list[bytes]]:
    """(partition, NDJSON frame) in order of arrival, and the 1 % of malformed lines in them."""
    by_partition: dict[int, list[bytes]] = {p: [] for p in range(PARTITIONS)}
    frames: list[Any] = []
    malformed: list[Any] = []
    for row in arrivals.itertuples():
        site_id = f"home-{row.site:03}"
        partition = partition_of(site_id, PARTITIONS)
        lines = by_partition[partition]
        body = {"t": row.measured_at_ms, "p": row.battery_w, "soc": row.soc}
        line = {"device_id": f"{site_id}-pw", "received_at_ms": row.received_at_ms,
                "boot": "a1", "seq": row.seq, "body": body}  # fmt: skip
        lines.append(orjson.dumps(line))
        if rng.random() < 0.01:
            bad = b'{"device_id":"%s","seq":%d,"oops' % (site_id.encode(), len(malformed))
            malformed.append(bad)
            lines.append(bad)
        if len(lines) >= FRAME_ROWS:
            frames.append((partition, b"\n".join(lines)))
            by_partition[partition] = []
    frames += [(p, b"\n".join(lines)) for p, lines in by_partition.items() if lines]
    return frames, malformed


def expected_windows(arrivals: pd.DataFrame, size_s: int) -> pd.DataFrame:
    """The same by pandas: dedupe, split at the window's end, group."""
    size = size_s * 1000
    frame = arrivals.drop_duplicates(["site", "seq"]).copy()
    frame["start_ms"] = frame.measured_at_ms // size * size
    frame["n"], frame["ms"] = 1, (frame.start_ms + size - frame.measured_at_ms).clip(upper=1000)
    rest = frame[frame.ms < 1000].assign(
        n=0, ms=lambda f: 1000 - f.ms, start_ms=lambda f: f.start_ms + size
    )
    both = pd.concat([frame, rest])
    both["wh"] = both.battery_w * both.ms / 3.6e6
    return both.groupby(["site", "start_ms"]).agg(
        n=("n", "sum"), wh=("wh", "sum"), ms=("ms", "sum"), low=("battery_w", "min"),
        high=("battery_w", "max"), soc_low=("soc", "min"), soc_high=("soc", "max"),
    )  # fmt: skip


class ReadingsWorld:
    """The producer's side of the test."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.producer = KafkaClients(settings).producer()

    def name(self, topic: Topic) -> str:
        return topic.full(self.settings.namespace)

    async def import_assets(self) -> None:
        for site in sites():
            partition = partition_of(site.site_id, PARTITIONS)
            await self.producer.send(
                self.name(topics.ASSETS),
                encode_json(site),
                key=site.site_id.encode(),
                partition=partition,
            )
        await self.producer.flush()

    async def feed(self, frames: list[tuple[int, bytes]]) -> None:
        for partition, frame in frames:
            await self.producer.send(self.name(topics.RAW_POWERWALL), frame, partition=partition)
        await self.producer.flush()

    async def close_windows(self) -> None:
        """What a replay sends at its end: nothing older follows."""
        headers = frame_headers(SCHEMA_NAME, "test", "end")
        headers[HEADER_WATERMARK] = str(T0 + HOUR_MS).encode()
        for partition in range(PARTITIONS):
            await self.producer.send_and_wait(
                self.name(topics.TELEMETRY), encode_frame(make_batch([])), partition=partition,
                headers=list(headers.items()),
            )  # fmt: skip

    async def windows(self) -> dict[str, SiteWindow]:
        """Each window at its newest revision."""
        newest: dict[str, SiteWindow] = {}
        for record in await read_all(self.settings, self.name(topics.SITE_WINDOWS)):
            for window in windows_in(record.value, record.headers):
                if window.revision >= getattr(newest.get(window.window_id), "revision", 0):
                    newest[window.window_id] = window
        return newest

    async def rejected(self) -> list[Rejected]:
        records = await read_all(self.settings, self.name(topics.TELEMETRY_REJECTED))
        return [decode_json(record.value, Rejected) for record in records]


def check_windows(windows: dict[str, SiteWindow], arrivals: pd.DataFrame) -> None:
    for size_s in (60, 900):
        expected = expected_windows(arrivals, size_s)
        got = {w.window_id: w for w in windows.values() if w.size_s == size_s}
        assert len(got) == len(expected)
        for key, row in expected.iterrows():
            site, start_ms = cast(tuple[int, int], key)
            window = got[f"home-{site:03}|{size_s}|{start_ms}"]
            assert window.readings == row.n
            assert window.battery is not None
            assert window.battery.energy_wh == pytest.approx(row.wh, rel=1e-9, abs=1e-9)
            assert (window.battery.min_w, window.battery.max_w) == (row.low, row.high)
            assert window.coverage == pytest.approx(min(row.ms / 1000 / size_s, 1.0))
            assert window.soc is not None
            assert window.soc.min == pytest.approx(row.soc_low, rel=1e-12)
            assert window.soc.max == pytest.approx(row.soc_high, rel=1e-12)
        readings_in_all = SITES * arrivals.seq.nunique()
        assert sum(w.readings for w in got.values()) == readings_in_all


def check_rejected(rejected: list[Rejected], malformed: list[bytes]) -> None:
    originals = {r.rejected_id: base64.b64decode(r.original_base64) for r in rejected}
    assert sorted(originals.values()) == sorted(malformed)
    assert {r.reason for r in rejected} == {"bad_json"}
