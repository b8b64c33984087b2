"""A day of entries booked into PostgreSQL: ``python -m benchmarks.ledger``.

Every site has one entry in every interval. The records are those of topic ``settlement.entries``, a
slice of the sites each; they are decoded, checked, booked with their offsets, and the index by site
is built, as the role does it (without Kafka). The baseline is an INSERT per row (executemany) of
one record. The other layout, an array per site and day, is written from numbers in memory.

Two more tables: the queries on a month of as many entries, and the layouts side by side.
"""

import argparse
import gc
import os
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psycopg
import pyarrow as pa
import sqlalchemy as sa

from benchmarks.ledger_records import RecordMaker
from benchmarks.report import Table, parser, progress, publish
from schemas.bounds import PARTITIONS
from schemas.settlement import site_account
from vpp_streams.domain.moments import DAY_MS
from vpp_streams.local.postgres_process import PostgresServer, running_postgres
from vpp_streams.settings import Settings
from vpp_streams.settlement.booking import Books
from vpp_streams.settlement.database import entries_topic, open_ledger
from vpp_streams.settlement.queries import balances, region_days, site_entries
from vpp_streams.settlement.role import Decoded, decoded
from vpp_streams.settlement.tables import ENTRIES

SERVER = ("max_wal_size=8GB", "maintenance_work_mem=512MB", "shared_buffers=256MB")
INTERVAL_MS = 300_000
FIRST_MS = 1_790_812_800_000
AT_ONCE = 4
"""Records of a partition that are booked in one transaction, about what one fetch returns."""


@dataclass(frozen=True, slots=True)
class Booked:
    """A run."""

    entries: int
    seconds: float
    index_s: float
    sort_s: float
    cpu_s: float
    """Of this process."""
    peak_mb: float
    database_mb: float


def new_ledger(server: PostgresServer, name: str) -> tuple[sa.Engine, Settings]:
    """An empty ledger in a database of its own."""
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    settings = Settings(ledger=server.url_of(name))
    return open_ledger(settings, create=True), settings


def book(
    engine: sa.Engine,
    settings: Settings,
    maker: RecordMaker,
    starts: Sequence[int],
    *,
    at_once: int = AT_ONCE,
    sort: bool = False,
) -> Booked:
    """Book an entry per site and interval; decoding is one transaction ahead, as in the role."""
    books = Books(engine, entries_topic(settings))
    with engine.connect() as connection:
        before_mb = connection.scalar(sa.text("SELECT pg_database_size(current_database())")) / 1e6
    began, cpu_s = time.monotonic(), time.process_time()
    with ThreadPoolExecutor(1) as pool:
        work = _batches(maker, starts, at_once)
        ahead = pool.submit(_next_decoded, work)
        while (batch := ahead.result()) is not None:
            ahead = pool.submit(_next_decoded, work)
            assert not batch.refusals
            after = batch.records[0].offset or None
            books.book(batch.partition, after, batch.records)
    copied = time.monotonic()
    books.finish_days()
    ended = time.monotonic()
    if sort:
        while books.sort_a_day() is not None:
            pass
    sorted_ = time.monotonic()
    assert books.entries == len(maker.site_ids) * len(starts)
    with engine.connect() as connection:
        size = connection.scalar(sa.text("SELECT pg_database_size(current_database())")) / 1e6
    return Booked(
        books.entries,
        ended - began,
        ended - copied,
        sorted_ - ended,
        time.process_time() - cpu_s,
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        size - before_mb,
    )


Raws = list["Raw"]


@dataclass(frozen=True, slots=True)
class Raw:
    """A Kafka record."""

    partition: int
    offset: int
    value: bytes
    timestamp: int = 0
    key: bytes | None = None
    headers: Sequence[tuple[str, bytes]] = ()


def _batches(maker: RecordMaker, starts: Sequence[int], at_once: int) -> Iterator[Raws]:
    for first in range(0, len(starts), at_once):
        some = starts[first : first + at_once]
        for partition in maker.partitions:
            yield [
                Raw(partition, first + n, maker.record(partition, at)) for n, at in enumerate(some)
            ]


def _next_decoded(work: Iterator[Raws]) -> Decoded | None:
    raws = next(work, None)
    return None if raws is None else decoded(raws[0].partition, raws)


def server_cpu_s(server: PostgresServer) -> float:
    """CPU seconds of a server and of its processes that have ended; NaN where Linux is not."""
    stat = Path(f"/proc/{server.pid}/stat")
    if not stat.exists():
        return float("nan")
    times = stat.read_text().rpartition(")")[2].split()[11:15]
    return sum(map(int, times)) / os.sysconf("SC_CLK_TCK")


def row_by_row_s(engine: sa.Engine, sites: int) -> float:
    """Seconds per entry with an INSERT per row, of one record, in one transaction."""
    maker = RecordMaker(sites)
    (batch,) = list(pa.ipc.open_stream(maker.record(maker.partitions[0], FIRST_MS)))
    names = ("amount_micros", "energy_wh", "baseline_wh", "delivered_wh", "coverage")
    fixed = {"group_id": 1, "day": FIRST_MS // DAY_MS}
    rows = [
        fixed | row | {"site_account": n}
        for n, row in enumerate(batch.select(list(names)).to_pylist(), 1)
    ]
    with engine.begin() as connection:
        connection.execute(
            sa.text("CREATE TABLE by_row (LIKE entries)"),
        )
        by_row = sa.Table("by_row", sa.MetaData(), *(sa.Column(c.name, c.type) for c in ENTRIES.c))
        began = time.monotonic()
        statement = str(sa.insert(by_row).compile(dialect=engine.dialect))
        connection.exec_driver_sql(statement, rows)
        return (time.monotonic() - began) / len(rows)


def arrays(server: PostgresServer, sites: int, intervals: int) -> tuple[float, float]:
    """Seconds and megabytes of the other layout: a row per site and day, with arrays."""
    names = ("amount_micros", "energy_wh", "baseline_wh", "delivered_wh", "coverage")
    columns = ", ".join(
        f"{name} {'bigint' if name == 'amount_micros' else 'float8'}[] COMPRESSION lz4"
        for name in names
    )
    rng = np.random.default_rng(1)
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE arrays")
    with psycopg.connect(server.url_of("arrays")) as connection:
        connection.execute(f"CREATE TABLE days (site int, day int, {columns})")
        began = time.monotonic()
        with (
            connection.cursor() as cursor,
            cursor.copy("COPY days FROM STDIN (FORMAT BINARY)") as copy,
        ):
            copy.write(b"PGCOPY\n\xff\r\n\0" + bytes(8))
            for first in range(0, sites, 1000):
                count = min(1000, sites - first)
                copy.write(_array_rows(rng, first, count, intervals))
            copy.write(b"\xff\xff")
        connection.execute("CREATE INDEX ON days (site, day)")
        connection.commit()
        seconds = time.monotonic() - began
        size = connection.execute("SELECT pg_total_relation_size('days')").fetchone()
    return seconds, (size or (0,))[0] / 1e6


def _array_rows(rng: np.random.Generator, first: int, count: int, intervals: int) -> bytes:
    """Rows of `arrays` in the binary format of COPY."""
    head = np.empty(count, [("n", ">i2"), *((f"x{i}", ">i4") for i in range(4))])
    head["n"], head["x0"], head["x2"] = 7, 4, 4
    head["x1"], head["x3"] = np.arange(first, first + count), FIRST_MS // DAY_MS
    parts = [head]
    for oid, kind in ((20, ">i8"), *((701, ">f8"),) * 4):
        element = np.dtype([("length", ">i4"), ("value", kind)])
        names = ("length", "dimensions", "nulls", "oid", "size", "lower")
        made = np.empty(count, [*((name, ">i4") for name in names), ("of", element, (intervals,))])
        made["length"], made["dimensions"], made["nulls"] = 20 + intervals * 12, 1, 0
        made["oid"], made["size"], made["lower"] = oid, intervals, 1
        made["of"]["length"] = 8
        made["of"]["value"] = (
            rng.integers(0, 10**6, (count, intervals))
            if oid == 20
            else rng.random((count, intervals))
        )
        parts.append(made)
    return np.concatenate([p.view(np.uint8).reshape(count, -1) for p in parts], axis=1).tobytes()


def median_ms(work: Callable[[], object], repeat: int = 5) -> float:
    """Median time of a call, ms."""
    spent = []
    for _ in range(repeat):
        began = time.monotonic()
        work()
        spent.append((time.monotonic() - began) * 1e3)
    return float(np.median(spent))


def query_table(engine: sa.Engine, days: int, maker: RecordMaker) -> Table:
    """The queries that people wait for."""
    site, until_ms = maker.site_ids[len(maker.site_ids) // 2], FIRST_MS + days * DAY_MS
    table = Table(
        f"Queries on {days} days of {len(maker.site_ids):,} sites", ["query", "x 50 ms", "ms"]
    )
    with engine.connect() as connection:
        queries: dict[str, Callable[[], object]] = {
            "entries of a site": lambda: site_entries(connection, site, FIRST_MS, until_ms),
            "balance of a site": lambda: balances(connection, site_account(site)),
            "balance of the revenue account": lambda: balances(connection, "revenue:sim:north"),
            "sums by region and day": lambda: list(region_days(connection, 0, until_ms)),
        }
        for name, work in queries.items():
            spent_ms = median_ms(work)
            table.add(name, spent_ms / 50, spent_ms)
    table.notes.append("Median of 5, of data that the operating system has in memory.")
    return table


def main(argv: list[str] | None = None) -> None:
    """Run the benchmark."""
    options = parser(__doc__)
    options.add_argument("--sites", type=int, default=100_000)
    options.add_argument("--intervals", type=int, default=288, help="of one day")
    options.add_argument("--days", type=int, default=30, help="of the queries")
    args = options.parse_args(argv)
    with running_postgres(*SERVER) as server:
        tables = []
        for work in (_day, _layouts, _queries):
            tables.append(work(server, args))
            progress(tables[-1].text())
    publish(args, tables)


def _day(server: PostgresServer, args: argparse.Namespace) -> Table:
    progress(f"a day: {args.sites:,} sites, {args.intervals} intervals")
    engine, settings = new_ledger(server, "day")
    starts = [FIRST_MS + n * INTERVAL_MS for n in range(args.intervals)]
    before_s = server_cpu_s(server)
    run = book(engine, settings, RecordMaker(args.sites), starts)
    engine.dispose()  # the server counts the time of a process when it has ended
    time.sleep(0.5)
    server_s = server_cpu_s(server) - before_s
    row_s = row_by_row_s(engine, args.sites)
    engine.dispose()
    table = Table(
        f"A day of {args.sites:,} sites booked into PostgreSQL",
        [
            *("entries", "x row by row", "s", "of it index, s", "entries/s"),
            *("our CPU s", "server's CPU s", "MB on disk", "peak MB"),
        ],
    )
    table.add(
        f"{run.entries:,}",
        row_s * run.entries / run.seconds,
        run.seconds,
        run.index_s,
        run.entries / run.seconds,
        run.cpu_s,
        server_s,
        run.database_mb,
        run.peak_mb,
    )
    table.notes.append(f"s are the clock's; the server has {', '.join(SERVER)} and fsync.")
    table.notes.append("Peak MB is this process's; the server's shared buffers are beside it.")
    return table


def _layouts(server: PostgresServer, args: argparse.Namespace) -> Table:
    sites = max(args.sites // 10, PARTITIONS)
    progress(f"both layouts: {sites:,} sites")
    engine, settings = new_ledger(server, "rows")
    starts = [FIRST_MS + n * INTERVAL_MS for n in range(args.intervals)]
    rows = book(engine, settings, RecordMaker(sites), starts)
    engine.dispose()
    seconds, size_mb = arrays(server, sites, args.intervals)
    table = Table(f"Layouts, of {sites:,} sites", ["layout", "x rows", "s", "MB on disk"])
    table.add("a row per entry", 1.0, rows.seconds, rows.database_mb)
    table.add("an array per site and day", rows.seconds / seconds, seconds, size_mb)
    table.notes.append("Arrays are only written, from numbers in memory: nothing is decoded first.")
    return table


def _queries(server: PostgresServer, args: argparse.Namespace) -> Table:
    sites = max(args.sites // args.days, PARTITIONS)
    progress(f"{args.days} days of {sites:,} sites")
    engine, settings = new_ledger(server, "month")
    starts = [
        FIRST_MS + day * DAY_MS + n * INTERVAL_MS
        for day in range(args.days)
        for n in range(args.intervals)
    ]
    maker = RecordMaker(sites, partition=0)  # fewer and larger records, as the queries do not care
    sorted_ = book(engine, settings, maker, starts, at_once=4, sort=True)
    gc.collect()
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text("ANALYZE"))
    found = query_table(engine, args.days, maker)
    found.notes.append(
        f"Days that are over were sorted by site before, {sorted_.sort_s:.1f} s of the clock for"
        f" {sorted_.entries:,} entries; the role does it when no record waits."
    )
    engine.dispose()
    return found


if __name__ == "__main__":
    main()
