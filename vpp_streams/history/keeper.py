"""Keeps a history small: merges files, adds up complete days, and deletes days that are too old.

Any number of processes may do it at once: a merged file is durable before those that it replaces
are deleted, and its name says which these are (`layout`).
"""

import asyncio
import errno
import os
import time
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import date, tzinfo
from pathlib import Path

import duckdb
import structlog

from vpp_streams.domain.history.day_sums import SUMMED, WindowSums
from vpp_streams.domain.history.days import Zones, day_bounds_ms, day_of, first_kept
from vpp_streams.domain.history.kinds import KINDS, Kind
from vpp_streams.domain.history.layout import DayFiles, merged_name, to_merge
from vpp_streams.history.directory import HistoryDirectory, spill_of
from vpp_streams.history.duck import column, connection, quoted, rows_once

log = structlog.get_logger()

KEEP_EVERY_S = 60.0
ROW_GROUP = 20_480
"""Rows of a row group: a site's windows of a day are in one or two of them."""


class Keeper:
    """Merges, adds up and deletes the days of a history."""

    def __init__(
        self,
        directory: HistoryDirectory,
        zones: Zones,
        keep_days: Mapping[str, int],
        *,
        lateness_ms: int,
        counters: Counter[str],
        now_ms: Callable[[], int],
    ) -> None:
        self._directory = directory
        self._zones = zones
        self._keep_days = keep_days
        self._lateness_ms = lateness_ms
        self._counters = counters
        self._now_ms = now_ms
        self._done: dict[tuple[str, date], int] = {}
        """Time of the last change of a folder in which nothing is to be done until the next."""

    async def run(self, mine: Callable[[Kind], bool], every_s: float = KEEP_EVERY_S) -> None:
        """Keep the kinds that are ``mine`` at the time, for ever. Raises `OSError`."""
        while True:
            for kind in KINDS:
                if mine(kind):
                    await asyncio.to_thread(self.keep, kind)
            await asyncio.sleep(every_s)

    def keep(self, kind: Kind) -> None:
        """Do what is due for a kind. Raises `OSError`."""
        now_ms = self._now_ms()
        for day in self._directory.days(kind):
            if all(day < self._first_kept(kind, now_ms, zone) for zone in self._zones.all):
                self._directory.delete_day(kind, day)
                self._counters["days_deleted"] += 1
                log.info("a day is too old and was deleted", kind=kind.name, day=str(day))
            elif self._changed(kind, day):
                try:
                    self._keep_day(kind, day, now_ms)
                except duckdb.Error:  # a file that cannot be read, for example; other days go on
                    self._counters["merges_failed"] += 1
                    log.exception("a day cannot be merged", kind=kind.name, day=str(day))

    def _first_kept(self, kind: Kind, now_ms: int, zone: tzinfo) -> date:
        return first_kept(day_of(now_ms, zone), self._keep_days[kind.name])

    def _changed(self, kind: Kind, day: date) -> bool:
        try:
            changed_ns = self._directory.day(kind, day).stat().st_mtime_ns
        except FileNotFoundError:
            return False
        return self._done.get((kind.name, day)) != changed_ns

    def _keep_day(self, kind: Kind, day: date, now_ms: int) -> None:
        # Taken before the files are listed: what arrives meanwhile is seen in the next turn.
        changed_ns = self._directory.day(kind, day).stat().st_mtime_ns
        files = self._directory.files(kind, day)
        ends_ms = max(day_bounds_ms(day, zone)[1] for zone in self._zones.all)
        is_over = now_ms >= ends_ms + self._lateness_ms
        sources = to_merge(self._directory.ages(kind, files), is_over=is_over, now_ms=now_ms)
        if sources:
            self._merge(kind, day, sources)
            changed_ns = self._directory.day(kind, day).stat().st_mtime_ns
            files = self._directory.files(kind, day)
        if is_over and files.exact:
            self.add_up(kind, files)
            self._done[kind.name, day] = changed_ns

    def _merge(self, kind: Kind, day: date, sources: tuple[str, ...]) -> None:
        """Replace some files of a day by one."""
        folder = self._directory.day(kind, day)
        paths = [folder / name for name in sources]
        began_s = time.monotonic()
        ids = ", ".join(kind.id)
        columns = ", ".join(map(column, kind.schema.names))
        sql = f"SELECT {columns} FROM {rows_once(kind, paths)} ORDER BY {ids}"
        try:
            self._copy(sql, folder / merged_name(sources))
        except FileNotFoundError:
            log.info("another process has merged these files", kind=kind.name, day=str(day))
            return
        for path in paths:
            path.unlink(missing_ok=True)
        self._counters["merges"] += 1
        self._counters["files_merged"] += len(paths)
        took_s = round(time.monotonic() - began_s, 2)
        log.info("merged", kind=kind.name, day=str(day), files=len(paths), took_s=took_s)

    def add_up(self, kind: Kind, files: DayFiles) -> None:
        """Write the sums of a complete day, where its kind has sums and they are missing."""
        sums, target = SUMMED.get(kind.name), self._directory.sums(kind, files)
        if sums is None or target is None or target.exists():
            return
        source = self._directory.day(kind, files.day) / files.names[0]
        self._copy(day_sums_sql(sums, rows_once(kind, (), [source])), target)
        for old in target.parent.iterdir():
            if old != target and old.suffix == ".parquet":
                old.unlink(missing_ok=True)

    def _copy(self, sql: str, target: Path) -> None:
        """Write a query's rows to a file. Raises `OSError`."""
        with self._directory.new_file(target) as draft, connection(spill_of(draft)) as db:
            options = f"FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {ROW_GROUP}"
            try:
                db.execute(f"COPY ({sql}) TO {quoted(str(draft))} ({options})")
            except duckdb.IOException as error:
                raise as_os_error(error) from None


def day_sums_sql(sums: WindowSums, rows: str) -> str:
    """SQL for a day's sums by subject; their ``start_ms`` is that of the first window."""
    subject = ", ".join(sums.subject)
    return (
        f"SELECT {subject}, min(start_ms) AS start_ms, {sums.of_windows()}"
        f" FROM {rows} GROUP BY ALL ORDER BY {subject}"
    )


def as_os_error(error: duckdb.IOException) -> Exception:
    """The system's error that DuckDB gives in words only; its own where there is none."""
    text = str(error)
    if "No files found" in text or "No such file" in text:
        return FileNotFoundError(text)
    for code in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.EIO):
        if os.strerror(code) in text:
            return OSError(code, os.strerror(code))
    return error
