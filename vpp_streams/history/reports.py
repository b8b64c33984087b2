"""Answers reports from a history's directory."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Protocol, TypeVar
from zoneinfo import ZoneInfo

import duckdb
import numpy as np
import pyarrow as pa

from schemas.windows import SiteWindow
from vpp_streams.domain.arrays import Ints
from vpp_streams.domain.history import report_sql
from vpp_streams.domain.history.columns import record_of
from vpp_streams.domain.history.days import Zones, day_bounds_ms, days_between
from vpp_streams.domain.history.kinds import BY_NAME, Kind
from vpp_streams.domain.history.periods import WINDOW_MS, label, windows_in
from vpp_streams.domain.history.reports import REPORTS, Question
from vpp_streams.domain.moments import DAY_MS
from vpp_streams.errors import InputError
from vpp_streams.history.directory import HistoryDirectory, zones_of
from vpp_streams.history.duck import (
    column,
    connection,
    parquet,
    quoted,
    rows_once,
    time_limit,
)
from vpp_streams.kafka import topics

MOST_ROWS = 200_000
TIME_LIMIT_S = 20.0
_ATTEMPTS = 3
"""Files that are merged while they are read disappear; then the report starts again."""


class NoHistoryError(InputError):
    """There is no history where it was looked for."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A report's rows, and until when its history is complete."""

    question: Question
    rows: pa.Table
    """The columns of `Question.columns`."""
    complete_until_ms: int
    """Everything that was published before is in history, ms since 1970; 0 = not known."""


@dataclass(frozen=True, slots=True)
class Extent:
    """What a history has."""

    zone: str
    first: date | None
    last: date | None
    days: dict[str, int]
    """Number of days by kind."""


class Answering(Protocol):
    """What answers reports."""

    @property
    def zone(self) -> ZoneInfo:
        """The time zone of its days, unless a question names another."""

    def first_day(self, kinds: Sequence[Kind]) -> date | None:
        """The first day of some kinds; None if there is nothing of them."""

    def answer(self, question: Question) -> Answer:
        """The report. Raises `InputError` where it is too large or takes too long."""


class History:
    """A history's directory, for those who read it."""

    def __init__(self, root: Path, zones: Zones, lateness_ms: int) -> None:
        self.zones = zones
        self._directory = HistoryDirectory(root)
        self._lateness_ms = lateness_ms

    @property
    def zone(self) -> ZoneInfo:
        """The time zone of its days, unless a question names another."""
        return self.zones.default

    def extent(self) -> Extent:
        """What there is."""
        found = {name: self._directory.days(kind) for name, kind in BY_NAME.items()}
        ends = [day for days in found.values() if days for day in (days[0], days[-1])]
        return Extent(
            self.zones.default.key,
            min(ends, default=None),
            max(ends, default=None),
            {name: len(days) for name, days in found.items()},
        )

    def days(self, kind: Kind, from_ms: int, to_ms: int) -> list[date]:
        """The days that rows of [from, to) can be in."""
        first, last = days_between(from_ms, to_ms)
        return [day for day in self._directory.days(kind) if first <= day <= last]

    def rows(self, kind: Kind, day: date, from_ms: int, to_ms: int, *, plain: bool) -> pa.Table:
        """The rows of a kind's day in [from, to), each id once; ``plain`` = lists as JSON texts.

        Raises `InputError`.
        """

        def read() -> pa.Table:
            names = [
                f"to_json({column(f.name)})::VARCHAR AS {column(f.name)}"
                if plain and pa.types.is_list(f.type)
                else column(f.name)
                for f in kind.schema
            ]
            sql = (
                f"SELECT {', '.join(names)} FROM {self._once(kind, [day])}"
                f" WHERE {kind.at} >= {from_ms} AND {kind.at} < {to_ms}"
                f" ORDER BY {', '.join(kind.id)}"
            )
            with connection() as db:
                table: pa.Table = db.sql(sql).to_arrow_table()
            return table.cast(plain_schema(kind) if plain else kind.schema)

        return _again(read)

    def query(
        self,
        kind: Kind,
        spans: Sequence[tuple[int, int]],
        sql: Callable[[str], str],
        tables: Mapping[str, pa.Table],
    ) -> pa.Table:
        """What ``sql`` makes of a kind's rows of the days that some stretches of time touch.

        It receives these rows, each id once, as SQL; ``tables`` are others that it names. Raises
        `InputError`.
        """
        days = sorted({day for span in spans for day in self.days(kind, *span)})

        def read() -> pa.Table:
            with connection() as db:
                for name, table in tables.items():
                    db.register(name, table)
                with time_limit(db, TIME_LIMIT_S):
                    return db.sql(sql(self._once(kind, days))).to_arrow_table()

        return _again(read)

    def site_windows(
        self, kind: Kind, site_id: str, spans: Sequence[tuple[int, int]], time_limit_s: float
    ) -> list[SiteWindow]:
        """A site's windows that lie within some spans of time, ms. Raises `InputError`."""
        first_ms, last_ms = min(s for s, _ in spans), max(e for _, e in spans)
        inside = " OR ".join(
            f"start_ms >= {since} AND start_ms + size_s * 1000 <= {until}" for since, until in spans
        )

        def read() -> list[SiteWindow]:
            of_site = self._once(kind, self.days(kind, first_ms, last_ms))
            sql = f"SELECT * FROM {of_site} WHERE site_id = {quoted(site_id)} AND ({inside})"
            with connection() as db, time_limit(db, time_limit_s):
                rows: list[dict[str, Any]] = db.sql(sql).to_arrow_table().to_pylist()
            return [record_of(SiteWindow, row) for row in rows]

        return _again(read)

    def first_day(self, kinds: Sequence[Kind]) -> date | None:
        """The first day of some kinds; None if there is nothing of them."""
        found = [days[0] for kind in kinds if (days := self._directory.days(kind))]
        return min(found, default=None)

    def answer(self, question: Question, time_limit_s: float = TIME_LIMIT_S) -> Answer:
        """Answer a report. Raises `InputError` where it is too large or takes too long."""
        return _again(lambda: self._answered(question, time_limit_s))

    def _answered(self, question: Question, time_limit_s: float) -> Answer:
        boundaries = question.boundaries
        complete_until_ms = self._complete_until_ms(question)
        with connection() as db:
            _register(db, boundaries)
            sql = self._sql(question, boundaries, complete_until_ms - self._lateness_ms)
            with time_limit(db, time_limit_s):
                rows: pa.Table = db.sql(f"{sql} LIMIT {MOST_ROWS + 1}").to_arrow_table()
        if len(rows) > MOST_ROWS:
            raise InputError(
                f"the report has more than {MOST_ROWS:,} rows; choose a longer group, a shorter"
                " span, a region or a site"
            )
        starts = [label(at, question.zone) for at in rows.column("start_ms").to_pylist()]
        rows = rows.append_column("start", pa.array(starts, pa.string()))
        return Answer(question, rows.select([c.name for c in question.columns]), complete_until_ms)

    def _sql(self, question: Question, boundaries: Ints, closed_ms: int) -> str:
        # A forecast begins up to a day before the quarters of an hour that it is of.
        from_ms = question.from_ms - (DAY_MS if question.report == "forecast" else 0)
        kinds = {
            name: self._once(BY_NAME[name], self.days(BY_NAME[name], from_ms, question.to_ms))
            for name in REPORTS[question.report].kinds
        }
        match question.report:
            case "energy" | "availability":
                kind = BY_NAME["region_windows" if question.site is None else "site_windows"]
                windows, day_sums = self._windows(kind, question, boundaries)
                return report_sql.windows_sql(question, windows, day_sums, closed_ms)
            case "earnings":
                return report_sql.earnings_sql(question, **kinds, closed_ms=closed_ms)
            case "delivery":
                return report_sql.delivery_sql(question, **kinds, closed_ms=closed_ms)
            case "forecast":
                return report_sql.forecast_sql(
                    question, kinds["forecasts"], kinds["region_windows"], closed_ms
                )

    def _complete_until_ms(self, question: Question) -> int:
        names = {BY_NAME[kind].topic for kind in REPORTS[question.report].kinds}
        read = [topic for topic in topics.ALL if topic.name in names]
        return min(self._directory.caught_up_ms(topic.name, topic.partitions) for topic in read)

    def _once(self, kind: Kind, days: Sequence[date]) -> str:
        """SQL for the rows of a kind's days, each id once."""
        files: list[Path] = []
        exact: list[Path] = []
        for day in days:
            found = self._directory.files(kind, day)
            paths = [self._directory.day(kind, day) / name for name in found.names]
            (exact if found.exact else files).extend(paths)
        return rows_once(kind, files, exact)

    def _windows(self, kind: Kind, question: Question, boundaries: Ints) -> tuple[str, str | None]:
        """SQL for the windows of a kind, and for the sums of the days that are not among them."""
        files: list[Path] = []
        exact: list[Path] = []
        summed: list[Path] = []
        for day in self.days(kind, question.from_ms, question.to_ms):
            found = self._directory.files(kind, day)
            sums = self._directory.sums(kind, found)
            paths = [self._directory.day(kind, day) / name for name in found.names]
            if sums is not None and not self._is_cut(day, boundaries) and sums.exists():
                summed.append(sums)
            else:
                (exact if found.exact else files).extend(paths)
        return rows_once(kind, files, exact), parquet(summed) if summed else None

    def _is_cut(self, day: date, boundaries: Ints) -> bool:
        """Whether a period begins or ends within a day."""
        for zone in self.zones.all:
            start_ms, end_ms = day_bounds_ms(day, zone)
            inside = (boundaries > start_ms) & (boundaries < end_ms)
            if inside.any():
                return True
        return False


T = TypeVar("T")


def _again(read: Callable[[], T]) -> T:
    """What ``read`` returns; it is called again where files were merged away meanwhile."""
    for _ in range(_ATTEMPTS - 1):
        try:
            return read()
        except (duckdb.IOException, duckdb.InvalidInputException):
            continue
    try:
        return read()
    except (duckdb.IOException, duckdb.InvalidInputException) as error:  # gone, or no Parquet
        reason = str(error).splitlines()[0]
        raise InputError(f"history cannot be read; try again ({reason})") from None


def open_history(root: Path, lateness_ms: int) -> History:
    """The history in a directory. Raises `NoHistoryError` if there is none, or `InputError`."""
    zones = zones_of(root)
    if zones is None:
        raise NoHistoryError(
            f"there is no history in {root}; `vpp worker historian` keeps one, and VPP_HISTORY"
            " names its directory (without it, VPP_NAMESPACE selects it: `vpp up` uses `demo`)"
        )
    return History(root, zones, lateness_ms)


def plain_schema(kind: Kind) -> pa.Schema:
    """The columns of a kind with texts for lists, which a CSV file cannot hold."""
    return pa.schema(
        [pa.field(f.name, pa.string()) if pa.types.is_list(f.type) else f for f in kind.schema]
    )


def _register(db: duckdb.DuckDBPyConnection, boundaries: Ints) -> None:
    """Create the tables ``periods`` and ``slots`` of a question."""
    periods = len(boundaries) - 1
    first, end = -(-boundaries[0] // WINDOW_MS) * WINDOW_MS, boundaries[-1]
    slots = np.arange(first, end, WINDOW_MS, dtype=np.int64)
    db.register(
        "periods",
        pa.table(
            {
                "period": np.arange(periods, dtype=np.int64),
                "start_ms": boundaries[:-1],
                "end_ms": boundaries[1:],
                "slots": windows_in(boundaries),
            }
        ),
    )
    period = np.searchsorted(boundaries, slots, side="right") - 1
    db.register("slots", pa.table({"slot_ms": slots, "period": period.astype(np.int64)}))
