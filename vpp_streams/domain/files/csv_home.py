"""Reads the CSV of a recorded home into canonical readings, with a report on the file.

Nothing is repaired: a cell that says *not measured* is NaN, a row that cannot be read is left
out and reported with its line and reason, a gap stays a gap. An inverter's standby consumption
and a rounded state of charge are clamped, by the rule for live readings
(`vpp_streams.domain.telemetry.normalize.checked`).
"""

import csv
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from schemas.telemetry import TELEMETRY_V1, Quality, Reading
from vpp_streams.domain.files.csv_mapping import (
    FIELDS,
    ISO_8601,
    HomeMapping,
    factors,
    unknown_columns,
)
from vpp_streams.domain.files.local_time import StampReader
from vpp_streams.domain.telemetry.normalize.checked import clamped_soc, is_soc, not_negative
from vpp_streams.errors import InputError

NAN = float("nan")
NON_NEGATIVE = frozenset({"solar_w", "load_w"})


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that was left out."""

    line: int
    """Line of the file, from 1."""
    reason: str


@dataclass(slots=True)
class Report:
    """What was found in a file."""

    rows: int = 0
    readings: int = 0
    first_ms: int = 0
    """Start of the first reading."""
    end_ms: int = 0
    """End of the last reading."""
    bad: list[BadRow] = field(default_factory=list)
    duplicates: list[int] = field(default_factory=list)
    """Lines that repeat an earlier line."""
    empty: int = 0
    """Number of rows in which nothing was measured; they give no reading."""
    not_measured: Counter[str] = field(default_factory=Counter)
    """Mapped field -> number of readings in which it was not measured."""
    gaps: list[tuple[int, int]] = field(default_factory=list)
    """Intervals [from, to) without a reading, ms since 1970 UTC."""
    ambiguous: int = 0
    """Number of stamps that local clocks showed twice: the first is taken as the earlier one."""


@dataclass(frozen=True, slots=True)
class RecordedHome:
    """A file's readings in order of time, and the report on the file."""

    batch: pa.RecordBatch
    """Schema ``telemetry.v1``; received_at_ms = end of the interval, seq counts from 0."""
    report: Report


@dataclass(frozen=True, slots=True)
class _Row:
    line: int
    reading: Reading
    cells: tuple[str, ...]


def read_home(lines: Iterable[str], mapping: HomeMapping, name: str) -> RecordedHome:
    """Read a CSV by its mapping; ``name`` is the file's, for messages.

    Raises `InputError` where the file cannot be read at all by this mapping.
    """
    report = Report()
    try:
        rows = list(_read_rows(lines, mapping, name, report))
    except csv.Error as error:
        raise InputError(f"{name}: not a CSV file ({error})") from None
    kept = _in_order(sorted(rows, key=lambda row: row.reading.measured_at_ms), report)
    report.bad.sort(key=lambda bad: bad.line)
    report.readings = len(kept)
    if not kept:
        hint = f"; line {report.bad[0].line}: {report.bad[0].reason}" if report.bad else ""
        raise InputError(f"{name}: no row gives a reading{hint}")
    report.first_ms = kept[0].measured_at_ms
    report.end_ms = kept[-1].measured_at_ms + mapping.interval_ms
    for name_ in mapping.columns:
        report.not_measured[name_] = sum(math.isnan(getattr(r, name_)) for r in kept)
    return RecordedHome(_batch(kept, mapping), report)


def _read_rows(
    lines: Iterable[str], mapping: HomeMapping, name: str, report: Report
) -> Iterator[_Row]:
    reader = csv.reader(lines, delimiter=mapping.delimiter)
    header = [column.strip() for column in next(reader, [])]
    _check_header(header, mapping, name)
    readings = _ReadingReader(mapping, header)
    for cells in reader:
        if not cells:
            continue
        report.rows += 1
        try:
            reading = readings.read(cells)
        except ValueError as error:
            report.bad.append(BadRow(reader.line_num, str(error)))
            continue
        if all(math.isnan(getattr(reading, name_)) for name_ in mapping.columns):
            report.empty += 1
            continue
        yield _Row(reader.line_num, reading, tuple(cells))
    report.ambiguous = readings.stamps.ambiguous


def _check_header(header: list[str], mapping: HomeMapping, name: str) -> None:
    if not header:
        raise InputError(f"{name} is empty; the first line must name its columns")
    if missing := unknown_columns(mapping, header):
        raise InputError(
            f"{name} has no column {', '.join(map(repr, missing))}, which the mapping names;"
            f" it has {', '.join(map(repr, header))}"
        )


class _ReadingReader:
    """Rows of one file as readings."""

    def __init__(self, mapping: HomeMapping, header: list[str]) -> None:
        self._mapping = mapping
        self._width = len(header)
        time = mapping.time
        self._at = header.index(time.column)
        self._shift_ms = mapping.interval_ms if time.stamp == "end" else 0
        self.stamps = StampReader(None if time.format == ISO_8601 else time.format, time.timezone)
        self._terms = [
            (name, header.index(t.column), t.sign * factors(name, time.interval_s)[t.unit])
            for name in mapping.columns
            for t in mapping.terms(name)
        ]

    def read(self, cells: list[str]) -> Reading:
        """A row as a reading. Raises `ValueError` with the reason where it gives none."""
        if len(cells) != self._width:
            raise ValueError(f"{len(cells)} cells where the header has {self._width}")
        measured_at_ms = self.stamps.read(cells[self._at].strip()) - self._shift_ms
        values: dict[str, float] = {}
        for name, at, factor in self._terms:
            values[name] = values.get(name, 0.0) + self._number(name, cells[at].strip()) * factor
        for name in values:
            _check_value(values, name)
        quality = Quality.OK
        if self._mapping.derive_grid and math.isnan(values.get("grid_w", NAN)):
            values["grid_w"] = _balance(values)
            quality = Quality.OK if math.isnan(values["grid_w"]) else Quality.ESTIMATED
            error_w = NAN  # the identity was used, so it cannot be checked
        else:
            error_w = _balance(values) - values.get("grid_w", NAN)
        return Reading(
            measured_at_ms=measured_at_ms,
            interval_ms=self._mapping.interval_ms,
            quality=quality,
            balance_error_w=error_w,
            **values,  # type: ignore[arg-type]  # keys are FIELDS: all of them floats
        )

    def _number(self, name: str, text: str) -> float:
        if text in self._mapping.not_measured:
            return NAN
        try:
            value = float(text)
        except ValueError:
            raise ValueError(f"{name}: {text!r} is not a number") from None
        if not math.isfinite(value):
            raise ValueError(f"{name}: {text!r} is not a number (nor among not_measured)")
        return value


def _check_value(values: dict[str, float], name: str) -> None:
    """Clamp a value as in live readings. Raises `ValueError` where it is out of bounds."""
    value = values[name]
    if name in NON_NEGATIVE and not_negative(values, name) != Quality.OK:
        raise ValueError(f"{name} is {value:g}; it cannot be below 0 (is the sign right?)")
    if name == "soc":
        if not is_soc(value):
            raise ValueError(f"soc is {value:g}; it must be within 0..1 (is the unit right?)")
        values[name] = clamped_soc(value)


def _balance(values: dict[str, float]) -> float:
    """Load - solar - battery, W; a home without a column for solar or battery has none."""
    load_w = values.get("load_w", NAN)
    return load_w - values.get("solar_w", 0.0) - values.get("battery_w", 0.0)


def _in_order(rows: list[_Row], report: Report) -> list[Reading]:
    """The readings, without those whose interval overlaps that of an earlier row."""
    kept: list[Reading] = []
    last: _Row | None = None
    for row in rows:
        start = row.reading.measured_at_ms
        end = last.reading.measured_at_ms + last.reading.interval_ms if last else start
        if last and start < end:
            same = start == last.reading.measured_at_ms
            if same and row.cells == last.cells:
                report.duplicates.append(row.line)
                continue
            what = "stands for the same time as" if same else "overlaps the interval of"
            report.bad.append(BadRow(row.line, f"{what} line {last.line}, which is kept"))
        else:
            if start > end:
                report.gaps.append((end, start))
            kept.append(row.reading)
            last = row
    return kept


def _batch(readings: list[Reading], mapping: HomeMapping) -> pa.RecordBatch:
    n = len(readings)
    measured = np.array([r.measured_at_ms for r in readings], np.int64)
    columns = {
        "device_id": [mapping.device.device_id] * n,
        "site_id": [mapping.site.site_id] * n,
        "boot": np.ones(n, np.uint32),
        "seq": np.arange(n),
        "measured_at_ms": measured,
        "received_at_ms": measured + mapping.interval_ms,
        "interval_ms": np.full(n, mapping.interval_ms, np.int32),
        "islanded": np.full(n, -1, np.int8),
        "quality": np.array([r.quality for r in readings], np.int8),
        "balance_error_w": np.array([r.balance_error_w for r in readings]),
        **{name: np.array([getattr(r, name) for r in readings]) for name in FIELDS},
    }
    arrays = [pa.array(columns[f.name], f.type) for f in TELEMETRY_V1]
    return pa.RecordBatch.from_arrays(arrays, schema=TELEMETRY_V1)
