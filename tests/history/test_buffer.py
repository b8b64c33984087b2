"""The buffer of the historian: a frame of windows becomes the rows of its records."""

from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pyarrow as pa
import pytest

from schemas.windows import SiteWindow
from tests.support.history_world import at_ms, quarter
from tests.support.web_records import site_window
from tests.support.window_frames import frame_of
from vpp_streams.domain.history.days import Zones
from vpp_streams.domain.history.kinds import parse_keep_days
from vpp_streams.errors import RefusedError
from vpp_streams.history.buffer import Buffer
from vpp_streams.kafka import topics
from vpp_streams.kafka.decode import Read

KIRITIMATI = ZoneInfo("Pacific/Kiritimati")
ZONES = Zones(ZoneInfo("Europe/Berlin"), {"far": KIRITIMATI})
NOON = at_ms("2026-11-28T12:00")
NOW_MS = at_ms("2026-11-28T13:00")
QUARTERS = [
    quarter("home-1", NOON, region="north"),
    quarter("home-2", NOON, -50.0, region="far", revision=2),
    quarter("home-3", NOON, region="coast", battery=None),
]


def drained(*records: Any, now_ms: int = NOW_MS) -> tuple[Buffer, dict[tuple[str, str], pa.Table]]:
    buffer = Buffer(ZONES, parse_keep_days("site_minutes=1"))
    for offset, record in enumerate(records):
        buffer.take(topics.SITE_WINDOWS.name, Read(record, 3, offset, 1_000 + offset, {}), now_ms)
    return buffer, {
        (kind.name, str(day)): rows.table(kind, key[1]) for key, kind, day, rows in buffer.drain()
    }


def without_place(table: pa.Table) -> list[dict[str, Any]]:
    return table.drop_columns(["kafka_offset", "written_at_ms"]).to_pylist()


@pytest.mark.parametrize("size_s", [60, 900])
def test_a_frame_gives_the_rows_of_its_records(size_s: int) -> None:
    windows = [
        msgspec.structs.replace(w, size_s=size_s, window_id=f"{w.site_id}|{size_s}|{NOON}")
        for w in QUARTERS
    ]
    _, by_frame = drained(frame_of(windows))
    _, one_by_one = drained(*windows)
    kind = "site_windows" if size_s == 900 else "site_minutes"
    assert by_frame.keys() == {(kind, "2026-11-28"), (kind, "2026-11-29")}
    assert by_frame.keys() == one_by_one.keys()
    for key, table in one_by_one.items():
        assert by_frame[key].schema == table.schema
        assert without_place(by_frame[key]) == without_place(table)
        assert set(by_frame[key].column("kafka_offset").to_pylist()) == {0}
        assert set(by_frame[key].column("written_at_ms").to_pylist()) == {1_000}


def test_records_and_frames_stand_in_the_order_of_the_log() -> None:
    late = [site_window("home-9", NOON, 900), quarter("home-1", NOON, 7.0, revision=1)]
    buffer, found = drained(QUARTERS[0], frame_of(QUARTERS[2:]), *late)
    (table,) = found.values()
    assert table.column("site_id").to_pylist() == ["home-1", "home-3", "home-9", "home-1"]
    assert table.column("kafka_offset").to_pylist() == [0, 1, 2, 3]
    assert buffer.rows == 0


def test_rows_are_counted_and_old_ones_expire() -> None:
    minutes: list[SiteWindow] = [site_window("home-1", NOON), site_window("home-2", NOON)]
    buffer = Buffer(ZONES, parse_keep_days("site_minutes=1"))
    read = Read(frame_of(minutes), 3, 0, 0, {})
    buffer.take(topics.SITE_WINDOWS.name, read, NOW_MS)
    assert (buffer.rows, buffer.expired) == (2, 0)
    buffer.take(topics.SITE_WINDOWS.name, read, NOW_MS + 3 * 86_400_000)
    assert (buffer.rows, buffer.expired) == (2, 2)


def test_a_frame_of_the_far_future_is_refused() -> None:
    with pytest.raises(RefusedError, match="60 days ahead"):
        drained(frame_of(QUARTERS), now_ms=NOW_MS - 61 * 86_400_000)
