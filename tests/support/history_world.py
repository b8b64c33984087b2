"""A history on disk: records written as a historian writes them, and what pandas makes of them."""

import os
from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pandas as pd

from schemas.windows import EnergySums, RegionWindow, SiteWindow
from tests.support.web_records import region_window, site_window, stats
from vpp_streams.domain.history.days import Zones
from vpp_streams.domain.history.kinds import KINDS, Kind, parse_keep_days
from vpp_streams.domain.history.layout import Flushed, Progress
from vpp_streams.domain.history.periods import WINDOW_MS, moment_ms
from vpp_streams.domain.history.reports import Question, checked
from vpp_streams.history.buffer import Buffer
from vpp_streams.history.directory import HistoryDirectory, begin
from vpp_streams.history.keeper import Keeper
from vpp_streams.history.reports import Answer, open_history
from vpp_streams.kafka import topics
from vpp_streams.kafka.decode import Read

BERLIN = ZoneInfo("Europe/Berlin")
TOPIC_ID = "ab" * 16
HOUR_MS = 3_600_000
LATENESS_MS = 6 * HOUR_MS
LATER_MS = moment_ms("2026-12-31", BERLIN)
"""After everything that the tests write."""


class HistoryWorld:
    """A history that grows record by record; offsets count up by topic."""

    def __init__(self, root: Path, zones: Zones | None = None) -> None:
        self.zones = zones or Zones(BERLIN)
        self.directory: HistoryDirectory = begin(root, self.zones)
        self.offsets: Counter[str] = Counter()
        self.now_ms = LATER_MS
        self.counters: Counter[str] = Counter()

    def read(self, topic: str, record: Any) -> Read[Any]:
        """The record as Kafka would give it, in partition 0."""
        offset = self.offsets[topic]
        self.offsets[topic] += 1
        return Read(record, 0, offset, self.now_ms, {})

    def write(self, topic: str, records: Iterable[Any]) -> None:
        """Write a file of each kind and day of the records."""
        buffer = Buffer(self.zones, parse_keep_days(""))
        for record in records:
            buffer.take(topic, self.read(topic, record), self.now_ms)
        self.write_buffer(buffer)

    def write_buffer(self, buffer: Buffer) -> None:
        for (_, partition), kind, day, rows in buffer.drain():
            name = Flushed(partition, rows.offsets[0], rows.offsets[-1], TOPIC_ID[:8]).name
            self.directory.write(kind, day, name, rows.table(kind, partition))

    def caught_up(self, at_ms: int) -> None:
        """Say that everything that was published before has been read."""
        for topic in topics.ALL:
            if topic.name in {kind.topic for kind in KINDS}:
                for partition in range(topic.partitions):
                    self.directory.save_progress(
                        topic.name, partition, Progress(TOPIC_ID, 0, at_ms)
                    )

    def keeper(self, keep_days: str = "", now_ms: int | None = None) -> Keeper:
        return Keeper(
            self.directory,
            self.zones,
            parse_keep_days(keep_days),
            lateness_ms=LATENESS_MS,
            counters=self.counters,
            now_ms=lambda: self.now_ms if now_ms is None else now_ms,
        )

    def keep(self, kind: Kind, keeper: Keeper | None = None) -> None:
        """Do what is due for a kind, an hour after its files were written."""
        written_s = self.now_ms / 1000 - 3600
        for file in self.files(kind):
            os.utime(file, (written_s, written_s))
        (keeper or self.keeper()).keep(kind)

    def answer(
        self,
        report: Any,
        from_: str,
        to: str,
        group: Any = "day",
        zone: ZoneInfo = BERLIN,
        **of: Any,
    ) -> Answer:
        question = Question(
            report=report,
            from_ms=moment_ms(from_, zone),
            to_ms=moment_ms(to, zone, is_end=True),
            group=group,
            zone=zone,
            **of,
        )
        return open_history(self.directory.root, LATENESS_MS).answer(checked(question))

    def rows(self, *asked: Any, **of: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.answer(*asked, **of).rows.to_pylist()
        return found

    def files(self, kind: Kind) -> list[Path]:
        return sorted((self.directory.root / kind.name).glob("*/*.parquet"))


def plain_rows(kind: Kind, files: Iterable[Path]) -> pd.DataFrame:
    """The rows of files, each id once, by pandas: the highest revision, else the first record."""
    frame = pd.concat([pd.read_parquet(file) for file in files], ignore_index=True)
    by = [kind.revision, "written_at_ms", "kafka_offset"] if kind.revision else ["kafka_offset"]
    rising = [name != kind.revision for name in by]
    first = frame.sort_values(by, ascending=rising, kind="stable").drop_duplicates(list(kind.id))
    return first.sort_values(list(kind.id)).reset_index(drop=True)


def starts(from_: str, to: str, zone: ZoneInfo = BERLIN) -> range:
    """Starts of the quarters of an hour from one local date or time to another."""
    return range(moment_ms(from_, zone), moment_ms(to, zone), WINDOW_MS)


def at_ms(text: str, zone: ZoneInfo = BERLIN) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=zone).timestamp() * 1000)


def quarter(site_id: str, start_ms: int, wh: float = 100.0, **changes: Any) -> SiteWindow:
    """A site's quarter of an hour in which its battery discharges so much, and nothing else is."""
    battery = msgspec.structs.replace(
        stats(4 * wh), energy_wh=wh, positive_wh=max(wh, 0.0), negative_wh=max(-wh, 0.0)
    )
    given = {"battery": battery, "grid": None, "solar": None, "load": None, "soc": None}
    return site_window(site_id, start_ms, 900, **(given | changes))


def region_quarter(
    region: str, start_ms: int, wh: float = 100.0, *, expected: int = 10, covered: float = 10.0,
    **changes: Any,
) -> RegionWindow:  # fmt: skip
    """A region's quarter of an hour, of ten sites unless told, with measured batteries only."""
    window = region_window(region, start_ms, 900)
    nothing = EnergySums(0.0, 0.0, 0.0, None, 0)
    sums = msgspec.structs.replace(
        window.sums,
        sites_expected=expected,
        sites_reporting=expected,
        coverage_sum=covered,
        battery=EnergySums(wh, max(wh, 0.0), max(-wh, 0.0), 4 * wh, expected),
        grid=nothing,
        solar=nothing,
        load=nothing,
    )
    return msgspec.structs.replace(
        window, coverage=covered / expected, **({"sums": sums} | changes)
    )
