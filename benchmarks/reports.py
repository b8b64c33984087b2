"""A report over a year of a fleet, and how many rows a historian writes.

The year has generated windows of a quarter of an hour, in files as a historian leaves them: one per
day, with its sums. The report is energy by month and site. It is answered from the days' sums;
from the windows themselves, as for a time zone with other days; and by pandas from the same files,
as the baseline. All three must agree. Files are in the cache of the system after the first run.

    python -m benchmarks.reports --sites 1000 --days 365
"""

import argparse
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.report import Table, parser, progress, publish
from schemas.bounds import PARTITIONS
from schemas.encoding import encode_json
from schemas.windows import PowerStats, SiteWindow
from vpp_streams.domain.history.days import Zones
from vpp_streams.domain.history.kinds import BY_NAME, parse_keep_days
from vpp_streams.domain.history.layout import PROGRESS_FOLDER, SUMS_FOLDER, Flushed, merged_name
from vpp_streams.domain.history.periods import WINDOW_MS
from vpp_streams.domain.history.reports import Question
from vpp_streams.domain.moments import DAY_MS
from vpp_streams.domain.registry.hashing import partition_of
from vpp_streams.history.buffer import Buffer
from vpp_streams.history.directory import HistoryDirectory, begin
from vpp_streams.history.keeper import ROW_GROUP, Keeper
from vpp_streams.history.reports import open_history
from vpp_streams.kafka import topics
from vpp_streams.kafka.decode import Read, receive

ZONE = ZoneInfo("UTC")
FIRST_DAY = date(2025, 1, 1)
SLOTS = DAY_MS // WINDOW_MS
KIND = BY_NAME["site_windows"]
ENERGY = {
    "battery_discharge_wh": "battery_positive_wh",
    "battery_charge_wh": "battery_negative_wh",
    "grid_import_wh": "grid_positive_wh",
    "grid_export_wh": "grid_negative_wh",
    "solar_wh": "solar_energy_wh",
    "load_wh": "load_energy_wh",
}
"""Column of the report: the column of the windows."""


def start_ms(day: date) -> int:
    """Start of a day."""
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000)


def day_of_windows(sites: int, seed: int = 1) -> pa.Table:
    """A day of windows from 1970 on; each day of the year has its energies, at its own time."""
    rng, rows = np.random.default_rng(seed), sites * SLOTS
    names = pa.array([f"home-{n:05}" for n in range(sites)])
    site = np.repeat(np.arange(sites, dtype=np.int32), SLOTS)
    given = {
        "site_id": pa.DictionaryArray.from_arrays(pa.array(site), names).cast(pa.string()),
        "region": pa.array(["north"] * rows),
        "start_ms": pa.array(np.tile(np.arange(SLOTS) * WINDOW_MS, sites)),
        "size_s": pa.array(np.full(rows, WINDOW_MS // 1000)),
        "coverage": pa.array(np.where(rng.random(rows) < 0.02, 0.9, 1.0)),
    }

    def column(field: pa.Field) -> pa.Array:
        if field.name in given:
            return given[field.name]
        if pa.types.is_floating(field.type):
            return pa.array(rng.integers(0, 20_000, rows) / 10)
        if pa.types.is_integer(field.type):
            return pa.array(np.zeros(rows, np.int64)).cast(field.type)
        return pa.nulls(rows, field.type)

    return pa.table([column(field) for field in KIND.schema], schema=KIND.schema)


def generate(root: Path, sites: int, days: int) -> HistoryDirectory:
    """A history of that many sites and days, as a historian leaves it."""
    directory, windows = begin(root, Zones(ZONE)), day_of_windows(sites)
    at = windows.schema.get_field_index("start_ms")
    keeper = Keeper(
        directory,
        Zones(ZONE),
        parse_keep_days(""),
        lateness_ms=0,
        counters=Counter(),
        now_ms=lambda: start_ms(FIRST_DAY) + 400 * DAY_MS,
    )
    for n in range(days):
        day = FIRST_DAY + timedelta(days=n)
        moved = pa.array(windows.column("start_ms").to_numpy() + start_ms(day))
        path = directory.day(KIND, day) / merged_name([str(day)])
        with directory.new_file(path) as draft:
            rows = windows.set_column(at, KIND.schema.field("start_ms"), moved)
            pq.write_table(rows, draft, compression="zstd", row_group_size=ROW_GROUP)
        keeper.add_up(KIND, directory.files(KIND, day))
        if n % 30 == 0:
            progress(f"day {n} of {days}")
    return directory


def reported(root: Path, days: int) -> pd.DataFrame:
    """The report, as a frame."""
    first_ms = start_ms(FIRST_DAY)
    question = Question(
        report="energy",
        from_ms=first_ms,
        to_ms=first_ms + days * DAY_MS,
        group="month",
        zone=ZONE,
        site="*",
    )
    rows = open_history(root, 0).answer(question, time_limit_s=600).rows
    frame: pd.DataFrame = rows.to_pandas().set_index(["start_ms", "site_id"])
    return frame[list(ENERGY)].sort_index()


def by_pandas(root: Path, days: int) -> pd.DataFrame:
    """The same by pandas, file by file: a year at once needs more memory than a desk has."""
    parts = []
    for n in range(days):
        day = FIRST_DAY + timedelta(days=n)
        folder = HistoryDirectory(root).day(KIND, day)
        frame = pd.read_parquet(folder, columns=["site_id", "coverage", *ENERGY.values()])
        sums = frame.groupby("site_id").sum()
        parts.append(
            sums.assign(start_ms=start_ms(day.replace(day=1))).set_index("start_ms", append=True)
        )
    total = pd.concat(parts).groupby(["start_ms", "site_id"]).sum()
    names = {column: name for name, column in ENERGY.items()}
    return total.rename(columns=names)[list(ENERGY)].sort_index()


def timed(work: Callable[[], pd.DataFrame], repeat: int) -> tuple[float, float, pd.DataFrame]:
    """(clock, CPU) seconds of the fastest of some calls, and the result."""
    best = (float("inf"), float("inf"))
    for _ in range(repeat):
        clock, cpu = time.perf_counter(), time.process_time()
        found = work()
        best = min(best, (time.perf_counter() - clock, time.process_time() - cpu))
    return *best, found


def report_table(args: argparse.Namespace) -> Table:
    """The report in each way."""
    rows = args.sites * SLOTS * args.days
    table = Table(
        f"energy by month and site over {args.days} days of {args.sites:,} sites: {rows:,} windows",
        ("what", "x pandas", "clock s", "CPU s"),
    )
    with TemporaryDirectory(dir=args.directory) as name:
        root = Path(name)
        generate(root, args.sites, args.days)
        size = sum(f.stat().st_size for f in (root / KIND.name).rglob("*.parquet"))
        progress("pandas")
        baseline = timed(lambda: by_pandas(root, args.days), 1)
        ways = {"report": timed(lambda: reported(root, args.days), args.repeat)}
        (root / SUMS_FOLDER).rename(root / PROGRESS_FOLDER / SUMS_FOLDER)
        ways["report without sums of days"] = timed(lambda: reported(root, args.days), 1)
    table.add("pandas", 1.0, baseline[0], baseline[1])
    for what, (clock, cpu, found) in ways.items():
        pd.testing.assert_frame_equal(found, baseline[2], check_dtype=False, check_names=False)
        table.add(what, clock / baseline[0], clock, cpu)
    table.notes.append(f"the windows' files have {size / rows:.0f} bytes per window; all agree")
    return table


def raw_windows(sites: int) -> list[Any]:
    """Records of topic ``site.windows`` as Kafka has them: a day of windows."""
    power = PowerStats(250.1, 250.1, 0.0, 1000.4, 990.2, 1010.7)
    found = []
    for slot in range(SLOTS):
        for n in range(sites):
            site = f"home-{n:05}"
            at = start_ms(FIRST_DAY) + slot * WINDOW_MS
            window = SiteWindow(
                f"{site}|900|{at}", site, "north", at, 900, 0, 900, 1.0,
                battery=power, grid=power, solar=power, load=power,
            )  # fmt: skip
            found.append(
                SimpleNamespace(
                    partition=partition_of(site, PARTITIONS), offset=slot * sites + n, timestamp=at,
                    key=site.encode(), value=encode_json(window), headers=(),
                )
            )  # fmt: skip
    return found


def written(records: list[Any], root: Path) -> int:
    """Decode, check and write records as a historian does, without Kafka; rows."""
    directory = begin(root, Zones(ZONE))
    buffer = Buffer(Zones(ZONE), parse_keep_days(""))
    count = 0
    for record in records:
        read = receive(topics.SITE_WINDOWS, record)
        assert isinstance(read, Read)
        buffer.take(topics.SITE_WINDOWS.name, read, record.timestamp)
    for (_, partition), kind, day, rows in buffer.drain():
        name = Flushed(partition, rows.offsets[0], rows.offsets[-1], "0" * 8).name
        directory.write(kind, day, name, rows.table(kind, partition))
        count += len(rows.offsets)
    return count


def historian_table(args: argparse.Namespace) -> Table:
    """How many rows a historian writes, beside only decoding them."""
    records = raw_windows(max(args.sites // 5, 1))
    table = Table(
        f"a historian takes {len(records):,} site windows", ("what", "x decode", "rows per CPU-s")
    )

    def decoded() -> None:
        for record in records:
            receive(topics.SITE_WINDOWS, record)

    with TemporaryDirectory(dir=args.directory) as name:
        spent = []
        for work in (decoded, lambda: written(records, Path(name))):
            began = time.process_time()
            work()
            spent.append(time.process_time() - began)
    table.add("only decode and check", 1.0, len(records) / spent[0])
    table.add("decode, check and write Parquet", spent[1] / spent[0], len(records) / spent[1])
    return table


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    options = parser(__doc__, repeat=3)
    options.add_argument("--sites", type=int, default=1000)
    options.add_argument("--days", type=int, default=365)
    options.add_argument("--directory", type=Path, help="where the year is written (2 GB)")
    args = options.parse_args(argv)
    publish(args, [historian_table(args), report_table(args)])


if __name__ == "__main__":
    main()
