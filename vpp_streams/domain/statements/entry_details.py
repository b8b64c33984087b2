"""The entries behind a line of a statement, each with what was measured and its formula."""

import math
from zoneinfo import ZoneInfo

import msgspec

from vpp_streams.domain.ledger.site_entries import SiteEntry
from vpp_streams.domain.settle.periods import month_of
from vpp_streams.domain.statements.arithmetic import Formula, Money, Paid, formula, known, money
from vpp_streams.domain.statements.past_events import Why, coverage_said


class EntryDetail(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of a site in the ledger."""

    entry_id: str
    kind: str
    start_ms: int
    end_ms: int
    market: str
    """Empty where a program alone pays."""
    program_id: str
    program_version: int
    revision: int
    """0 = first settlement; n = n-th correction."""
    reverses: bool
    """It takes back the entry of the same revision."""
    period: str
    """Month in which it counts."""
    said: str
    """What kind of settlement it is, in a sentence."""
    energy_wh: float | None
    """Measured at the connection, + = export; null = not measured."""
    baseline_wh: float | None
    """The same without the event."""
    delivered_wh: float | None
    """What counts, + = export; of availability power times hours."""
    coverage: float
    """Measured part of the interval, 0..1."""
    coverage_said: str
    """Empty = all of it was measured."""
    price_per_kwh: float | None
    share: float | None
    window_revision: int
    """Sum of the revisions of the site windows behind it; -1 = no windows."""
    amount: Money
    formula: Formula


def entry_detail(site_id: str, one: SiteEntry, zone: ZoneInfo) -> EntryDetail:
    """An entry for its owner."""
    minutes = one.interval_ms / 60_000
    why: Why = "availability" if one.kind == "availability" else "award"
    price = known(one.price_per_mwh)
    paid = Paid(
        kind=one.kind,
        delivered_wh=-one.delivered_wh if one.reverses else one.delivered_wh,
        price_per_mwh=price,
        share=known(one.share),
        micros=one.micros,
        currency=one.currency,
        count=-1 if one.reverses else 1,
        without_baseline=is_without_baseline(one),
    )
    return EntryDetail(
        entry_id=_entry_id(site_id, one),
        kind=one.kind,
        start_ms=one.start_ms,
        end_ms=one.start_ms + one.interval_ms,
        market=one.market,
        program_id=one.program_id,
        program_version=one.program_version,
        revision=one.revision,
        reverses=one.reverses,
        period=one.period,
        said=_said(one, zone),
        energy_wh=known(one.energy_wh),
        baseline_wh=known(one.baseline_wh),
        delivered_wh=known(one.delivered_wh),
        coverage=one.coverage,
        coverage_said=""
        if one.kind == "payout"
        else coverage_said(minutes, minutes * one.coverage, why),
        price_per_kwh=None if price is None else price / 1000,
        share=known(one.share),
        window_revision=one.window_revision,
        amount=money(one.micros, one.currency),
        formula=formula(paid),
    )


def is_without_baseline(one: SiteEntry) -> bool:
    """Whether the connection was measured, and its baseline is not known."""
    return math.isnan(one.baseline_wh) and not math.isnan(one.energy_wh)


def _entry_id(site_id: str, one: SiteEntry) -> str:
    """As `schemas.settlement.entry_id`."""
    words = (one.kind, site_id, one.market, one.start_ms, one.program_id, one.revision)
    return "|".join(map(str, words)) + ("|reversed" if one.reverses else "")


def _said(one: SiteEntry, zone: ZoneInfo) -> str:
    if one.kind == "payout":
        return "Transferred to your bank account."
    of = month_of(one.start_ms, zone)
    late = f" It is of {of}, which was closed, and counts in {one.period}."
    late = late if of != one.period else ""
    if one.reverses:
        return f"Taken back, because it was settled again.{late}"
    if one.revision:
        return f"Correction {one.revision}: measurements that were received later.{late}"
    return f"First settlement.{late}"
