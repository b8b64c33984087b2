"""The report on a home's CSV before it is replayed."""

from collections.abc import Iterator
from datetime import UTC, datetime

import typer

from vpp_streams.domain.files.csv_home import Report
from vpp_streams.domain.moments import HOUR_MS

SHOWN = 10
"""Number of bad rows and gaps that are printed one by one."""


def print_report(name: str, report: Report) -> None:
    """Print the report on the CSV ``name`` on stderr."""
    for line in report_lines(report, name):
        typer.echo(line, err=True)


def report_lines(report: Report, name: str) -> Iterator[str]:
    """The rows, gaps and faults of a CSV, line by line."""
    yield (
        f"{name}: {report.rows:,} rows, {report.readings:,} readings from {utc(report.first_ms)}"
        f" to {utc(report.end_ms)} UTC"
    )
    if report.empty:
        yield f"  {report.empty:,} rows in which nothing was measured: no readings"
    for field, count in report.not_measured.items():
        if count:
            yield f"  {field}: not measured in {count:,} readings"
    if report.duplicates:
        yield f"  {len(report.duplicates):,} rows repeat an earlier row: left out"
    if report.ambiguous:
        yield f"  {report.ambiguous:,} stamps occur twice (clocks back): the first is the earlier"
    if report.gaps:
        hours = sum(to - from_ for from_, to in report.gaps) / HOUR_MS
        yield f"  {len(report.gaps):,} gaps, {hours:,.1f} h in all:"
        yield from _first([f"{utc(from_)} to {utc(to)}" for from_, to in report.gaps])
    if report.bad:
        yield f"  {len(report.bad):,} bad rows, left out:"
        yield from _first([f"line {bad.line}: {bad.reason}" for bad in report.bad])


def _first(lines: list[str]) -> Iterator[str]:
    """The first `SHOWN` lines, and the number of the others."""
    yield from (f"    {line}" for line in lines[:SHOWN])
    if len(lines) > SHOWN:
        yield f"    and {len(lines) - SHOWN:,} more"


def utc(ms: int) -> str:
    """A time in UTC, to the second."""
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M:%S}"
