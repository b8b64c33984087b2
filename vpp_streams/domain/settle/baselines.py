"""Baselines: what a site's connection would have taken without the dispatch. Wh, + = import.

*No battery*: grid energy plus battery energy, which by the identity of a site (load = grid +
battery + solar) is its load less its solar power.

*Ten of ten* is the California ISO's day matching, "10-in-10" (Fifth Replacement Electronic Tariff,
section 4.13.4, performance evaluation methodologies; Business Practice Manual for Demand Response;
its *Baseline Accuracy Work Group Proposal* of 2017 describes it in section 1): the mean of the most
recent days of the same kind without an event, among the 45 days before. These are ten working
days (at least five), or four weekends and holidays. It is multiplied by how much more or less the
site took in the second, third and fourth hour before the event than on these days; the ratio is
limited to 0.8..1.2, so that nobody gains by taking more before an event. AEMO's baselines for
wholesale demand response are of the same kind (see its *Baseline Methodology Register*).

Where too few such days were measured there is no baseline: a day with an event shows what the
battery did, and nothing is paid on a guess.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from vpp_streams.domain.arrays import Floats, Mask
from vpp_streams.domain.moments import HOUR_MS
from vpp_streams.domain.settle.intervals import Energies, Span
from vpp_streams.domain.settle.periods import local_date

DAYS_BACK = 45
WORKING_DAYS, LEAST_WORKING_DAYS = 10, 5
OTHER_DAYS = 4
ADJUSTMENT_LIMITS = (0.8, 1.2)
ADJUSTMENT_HOURS = (2, 3, 4)
"""Hours before the event by which the baseline is adjusted; the last hour is left out, because
people prepare in it."""
ADJUSTED_BY_MS = max(ADJUSTMENT_HOURS) * HOUR_MS
"""The first of these hours begins this long before the event."""
COMPLETE = 0.99
"""A day counts where at least this share of the interval was measured."""

Measured = Callable[[Span], Energies]
"""Energies of the sites in an interval, each column of shape (sites,)."""


@dataclass(frozen=True, slots=True)
class Calendar:
    """Which days are alike, and on which of them sites were dispatched."""

    zone: ZoneInfo
    had_event: Callable[[date], Mask]
    """The sites that were dispatched on a day, shape (sites,)."""
    holidays: Collection[date] = ()


def no_battery_wh(energies: Energies) -> Floats:
    """The connection without its battery, Wh, + = import; NaN where a meter did not measure."""
    without: Floats = energies.grid_wh + energies.battery_wh
    return without


def ten_of_ten_wh(
    span: Span, event_start_ms: int, measured: Measured, calendar: Calendar
) -> Floats:
    """The baseline of sites in an interval of an event, Wh, + = import, shape (sites,).

    NaN = too few similar days were measured. Without measurements before the event the baseline is
    not adjusted.
    """
    zone, event_day = calendar.zone, local_date(event_start_ms, calendar.zone)
    working = is_working_day(event_day, calendar.holidays)
    target, least = (WORKING_DAYS, LEAST_WORKING_DAYS) if working else (OTHER_DAYS, OTHER_DAYS)
    hours = _hours_before(event_start_ms)
    today = [_complete_wh(measured(hour)) for hour in hours]
    sites = len(today[0])
    sums, before = np.zeros(sites), np.zeros((len(hours), sites))
    count, seen = np.zeros(sites, np.int64), np.zeros((len(hours), sites), np.int64)
    for day in similar_days(event_day, calendar.holidays):
        moved = [_on_day(each, event_start_ms, day, zone) for each in (span, *hours)]
        if moved[0] is None:
            continue
        energy_wh = _complete_wh(measured(moved[0]))
        counts = ~np.isnan(energy_wh) & ~calendar.had_event(day) & (count < target)
        sums += np.where(counts, energy_wh, 0.0)
        count += counts
        for k, hour in enumerate(moved[1:]):
            hour_wh = np.full(sites, np.nan) if hour is None else _complete_wh(measured(hour))
            there = counts & ~np.isnan(hour_wh)
            before[k] += np.where(there, hour_wh, 0.0)
            seen[k] += there
        if (count >= target).all():
            break
    raw_wh = np.where(count >= least, sums / np.maximum(count, 1), np.nan)
    usual = np.where(seen > 0, before / np.maximum(seen, 1), np.nan)
    return raw_wh * adjustment(np.array(today), usual)


def spans_needed(span: Span, event_start_ms: int, calendar: Calendar) -> tuple[Span, ...]:
    """The stretches of time of earlier days that `ten_of_ten_wh` may ask for."""
    zone, event_day = calendar.zone, local_date(event_start_ms, calendar.zone)
    moved = (
        _on_day(each, event_start_ms, day, zone)
        for day in similar_days(event_day, calendar.holidays)
        for each in (span, *_hours_before(event_start_ms))
    )
    return tuple(each for each in moved if each is not None)


def _hours_before(event_start_ms: int) -> list[Span]:
    """The hours by which the baseline is adjusted."""
    return [
        (event_start_ms - n * HOUR_MS, event_start_ms - (n - 1) * HOUR_MS)
        for n in reversed(ADJUSTMENT_HOURS)
    ]


def adjustment(today_wh: Floats, usual_wh: Floats) -> Floats:
    """The ratio by which a baseline is multiplied, shape (sites,), from energies (hours, sites).

    Only hours that were measured on both sides count. 1 where there are none, and where the usual
    energy is 0 or of the other sign, so that a ratio says nothing: a home whose panels export.
    """
    both = ~np.isnan(today_wh) & ~np.isnan(usual_wh)
    today = np.where(both, today_wh, 0.0).sum(axis=0)
    usual = np.where(both, usual_wh, 0.0).sum(axis=0)
    sound = today * usual > 0
    ratio = np.where(sound, today / np.where(sound, usual, 1.0), 1.0)
    limited: Floats = np.clip(ratio, *ADJUSTMENT_LIMITS)
    return limited


def similar_days(day: date, holidays: Collection[date] = ()) -> Iterator[date]:
    """The days before a day that are of its kind, newest first, at most `DAYS_BACK` ago."""
    working = is_working_day(day, holidays)
    for back in range(1, DAYS_BACK + 1):
        earlier = day - timedelta(days=back)
        if is_working_day(earlier, holidays) == working:
            yield earlier


def is_working_day(day: date, holidays: Collection[date]) -> bool:
    """Whether a day is neither on a weekend nor a holiday."""
    return day.weekday() < 5 and day not in holidays


def _complete_wh(energies: Energies) -> Floats:
    wh: Floats = np.where(energies.coverage >= COMPLETE, energies.grid_wh, np.nan)
    return wh


def _on_day(span: Span, event_start_ms: int, day: date, zone: ZoneInfo) -> Span | None:
    """The interval at the same time of another day; None = clocks skipped that time."""
    event_day = local_date(event_start_ms, zone)
    local = datetime.fromtimestamp(span[0] / 1000, zone)
    moved = (local + (day - event_day)).replace(fold=0)
    start = moved.astimezone(UTC)
    if start.astimezone(zone).replace(tzinfo=None) != moved.replace(tzinfo=None):
        return None
    start_ms = round(start.timestamp() * 1000)
    return start_ms, start_ms + span[1] - span[0]
