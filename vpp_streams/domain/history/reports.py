"""The reports: what each is about, its columns with their units, and what can be asked."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args
from zoneinfo import ZoneInfo

import numpy as np

from vpp_streams.domain.arrays import Ints
from vpp_streams.domain.history.day_sums import ENERGIES, POWERS
from vpp_streams.domain.history.periods import Group, boundaries_ms

ReportName = Literal["energy", "earnings", "availability", "delivery", "forecast"]
REPORT_NAMES: tuple[ReportName, ...] = get_args(ReportName)
EACH = "*"
"""Instead of a name: a row for each region, or for each site."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}", re.ASCII)


@dataclass(frozen=True, slots=True)
class ReportColumn:
    """A column of a report."""

    name: str
    about: str
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """What a report is about, and its columns beside those of every report."""

    about: str
    columns: tuple[ReportColumn, ...]
    kinds: tuple[str, ...]
    """Kinds of history that it is made of."""
    keys: tuple[str, ...] = ()
    """Columns beside region and site that name what a row is of."""
    by_site: bool = False
    site_columns: tuple[ReportColumn, ...] = ()
    """Columns of a report on sites, where they are not those of regions."""
    site_keys: tuple[str, ...] = ()
    site_about: str = ""


_COVERAGE = ReportColumn("coverage", "share of what the sum should cover that was measured", "0..1")
_WINDOWS = (
    ReportColumn("windows", "quarters of an hour that are in history"),
    ReportColumn("windows_expected", "quarters of an hour of the period (of each region)"),
)
_AWARDS = (
    ReportColumn("intervals", "intervals whose delivery was measured"),
    ReportColumn("awards", "awards in the period"),
)
START = (
    ReportColumn("start", "start of the period, local time with its offset"),
    ReportColumn("start_ms", "the same", "ms since 1970 UTC"),
    ReportColumn("end_ms", "end of the period", "ms since 1970 UTC"),
)
FINAL = ReportColumn("final", "everything is there and closed: the figures do not change any more")


def _energy_columns() -> tuple[ReportColumn, ...]:
    words = dict.fromkeys(ENERGIES, "measured energy")
    return (
        *(ReportColumn(name, about, "Wh") for name, about in words.items()),
        *(
            ReportColumn(f"{power}_coverage", f"share of the time with measured {power}", "0..1")
            for power in POWERS
        ),
    )


def _accuracy_columns(quantity: str) -> tuple[ReportColumn, ...]:
    return (
        ReportColumn(f"{quantity}_slots", "quarters of an hour that were forecast and measured"),
        ReportColumn(f"{quantity}_error_w", "mean of |measured - forecast|", "W"),
        ReportColumn(f"{quantity}_bias_w", "mean of measured - forecast", "W"),
        ReportColumn(f"{quantity}_inside", "share between the quantiles; 0.8 is right", "0..1"),
    )


REPORTS: Mapping[ReportName, Report] = {
    "energy": Report(
        "measured energy of batteries, grid connections, solar roofs and loads",
        (*_energy_columns(), _COVERAGE, *_WINDOWS),
        ("site_windows", "region_windows"),
        by_site=True,
    ),
    "earnings": Report(
        "what was earned in markets: energy as measured, capacity as awarded",
        (
            ReportColumn("money", "earned, in the row's currency"),
            ReportColumn("awarded_wh", "awarded energy, + = sold", "Wh"),
            ReportColumn("delivered_wh", "measured energy of these awards, + = sold", "Wh"),
            *_AWARDS,
            _COVERAGE,
        ),
        ("deliveries", "awards"),
        ("market", "currency"),
        by_site=True,
        site_columns=(
            ReportColumn("money", "earned by the owner, in the row's currency"),
            ReportColumn("delivered_wh", "energy that was paid for, + = given", "Wh"),
            ReportColumn("intervals", "intervals or events that were settled"),
            ReportColumn("coverage", "measured share of these", "0..1"),
        ),
        site_keys=("currency",),
        site_about="what owners earned, from the ledger: by the start of each interval, a late"
        " correction of a closed month by the beginning of the month in which it counts",
    ),
    "availability": Report(
        "for how much of the time sites reported and were believed",
        (
            ReportColumn("availability", "measured site time / expected site time", "0..1"),
            ReportColumn("measured_h", "measured site time", "h"),
            ReportColumn("expected_h", "expected site time of the windows in history", "h"),
            ReportColumn("sites_expected", "mean number of expected sites"),
            _COVERAGE,
            *_WINDOWS,
        ),
        ("site_windows", "region_windows"),
        by_site=True,
    ),
    "delivery": Report(
        "what was delivered of what awards called for, where no other request applied",
        (
            ReportColumn("needed_wh", "energy that awards called for, without sign", "Wh"),
            ReportColumn("given_wh", "measured energy in the called direction", "Wh"),
            ReportColumn("off_wh", "deviation, without sign", "Wh"),
            ReportColumn("delivery_error", "deviation / called energy"),
            ReportColumn("shortfalls", "awards with an announced shortfall"),
            ReportColumn("overridden_s", "time in which another request took precedence", "s"),
            *_AWARDS,
            _COVERAGE,
        ),
        ("deliveries", "awards", "shortfalls"),
        ("market",),
    ),
    "forecast": Report(
        "how far the first forecast of each quarter of an hour was from what was measured",
        (
            *_accuracy_columns("load"),
            *_accuracy_columns("solar"),
            _COVERAGE,
            *_WINDOWS,
        ),
        ("forecasts", "region_windows"),
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked of a report; see `checked`."""

    report: ReportName
    from_ms: int
    to_ms: int
    group: Group
    zone: ZoneInfo
    region: str | None = None
    """A region, `EACH`, or None for all together (of a forecast, for each)."""
    site: str | None = None
    """A site, or `EACH` of the region."""

    @property
    def boundaries(self) -> Ints:
        """Starts of the periods, and the end of the last. Raises `ValueError`."""
        return boundaries_ms(self.from_ms, self.to_ms, self.group, self.zone)

    @property
    def keys(self) -> tuple[str, ...]:
        """Columns that name what a row is of."""
        report = REPORTS[self.report]
        if self.site is not None:
            return (
                "region",
                "site_id",
                *(report.site_keys if report.site_columns else report.keys),
            )
        more = report.keys
        each = self.region is not None or self.report == "forecast"
        return (("region",) if each else ()) + more

    @property
    def about(self) -> str:
        """What the answer is about."""
        report = REPORTS[self.report]
        return (report.site_about if self.site is not None else "") or report.about

    @property
    def columns(self) -> tuple[ReportColumn, ...]:
        """Every column of the answer."""
        keys = tuple(ReportColumn(key, _KEYS[key]) for key in self.keys)
        report = REPORTS[self.report]
        own = report.columns if self.site is None else report.site_columns or report.columns
        return (*START, *keys, *own, FINAL)


_KEYS = {
    "region": "the region",
    "site_id": "the site",
    "market": "the market",
    "currency": "the currency of the money",
}


def checked(question: Question) -> Question:
    """The question. Raises `ValueError`, in plain words, where it cannot be answered."""
    if question.site is not None and not REPORTS[question.report].by_site:
        those = [name for name, report in REPORTS.items() if report.by_site]
        raise ValueError(
            f"the report {question.report} is by region: leave out `site`"
            f" (by site there are {', '.join(those)})"
        )
    for what, name in (("region", question.region), ("site", question.site)):
        if name is not None and name != EACH and not _NAME.fullmatch(name):
            raise ValueError(f"{name[:64]!r} is no name of a {what}; `*` is for each of them")
    if not np.diff(question.boundaries).size:
        raise ValueError("the span is empty")
    return question
