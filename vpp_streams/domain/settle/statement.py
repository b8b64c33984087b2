"""The monthly statement of a site: what its owner earned, by which arithmetic, and what is missing.

It is made from the entries that count in the month, so its total is the change of the site's
account in that month, to the micro. What was not measured is stated beside it, never estimated.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.programs import BaselineMethod, Program
from schemas.settlement import EntryKind, site_account
from vpp_streams.domain.moments import HOUR_MS
from vpp_streams.domain.settle.money import minor_units
from vpp_streams.domain.settle.periods import month_bounds_ms, month_of
from vpp_streams.domain.settle.storm_cost import StormBill

COMPLETE = 0.9999
"""Measured share of a month above which it counts as complete: less than five minutes missing."""


@dataclass(frozen=True, slots=True)
class StatementLine:
    """What one kind of payment under one version of a program came to."""

    kind: EntryKind
    program_id: str
    program_version: int
    baseline: BaselineMethod | None
    """What energy was compared with; None = the terms are not known here."""
    intervals: int
    """Market intervals, events or months in which it was paid for."""
    delivered_wh: float
    """Paid energy, + = export; of availability power times hours."""
    price_per_mwh: float | None
    """Mean price, weighted by energy; None = no energy, or no price per energy."""
    share: float | None
    amount_micros: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One site's statement for one month of the books."""

    site_id: str
    month: str
    currency: str
    hours: float
    """Length of the local month, with the hours that clocks skipped or repeated."""
    measured_hours: float
    lines: tuple[StatementLine, ...]
    corrected_micros: int
    """Corrections of closed months that count in this one; they are in the lines and the total."""
    total_micros: int
    storms: StormBill | None
    """What storms cost by the owner's tariff, for information; None = no storm, or no tariff."""
    carried_in_micros: int
    payable: int
    """In the currency's minor units."""
    carried_out_micros: int

    @property
    def coverage(self) -> float:
        """Measured share of the month, 0..1."""
        return min(self.measured_hours / self.hours, 1.0)

    @property
    def complete(self) -> bool:
        """Whether the month was measured completely; if not, the rest of it was not paid."""
        return self.coverage >= COMPLETE


@dataclass(frozen=True, slots=True, kw_only=True)
class MonthFacts:
    """What a statement says beside the entries."""

    zone: ZoneInfo
    measured_hours: float
    digits: int
    """Decimals of the currency (ISO 4217)."""
    carried_in_micros: int = 0
    storms: StormBill | None = None


def statement(
    site_id: str,
    month: str,
    entries: pa.RecordBatch,
    programs: Iterable[Program],
    facts: MonthFacts,
) -> Statement:
    """The statement of a site for a month, from entries of any sites and months.

    Payouts are no earnings: they are left out. Raises `ValueError` for entries in several
    currencies.
    """
    rows = _of_site(site_id, month, entries)
    currencies = {row["currency"] for row in rows}
    if len(currencies) > 1:
        raise ValueError(f"{site_id} has entries in {' and '.join(sorted(currencies))}")
    start_ms, end_ms = month_bounds_ms(month, facts.zone)
    account = site_account(site_id)
    total = sum(_signed(row, account) for row in rows)
    earlier = [row for row in rows if month_of(row["start_ms"], facts.zone) != month]
    payable, carried = minor_units(facts.carried_in_micros + total, facts.digits)
    return Statement(
        site_id=site_id,
        month=month,
        currency=next(iter(currencies), ""),
        hours=(end_ms - start_ms) / HOUR_MS,
        measured_hours=facts.measured_hours,
        lines=_lines(rows, account, {(p.program_id, p.version): p for p in programs}),
        corrected_micros=sum(_signed(row, account) for row in earlier),
        total_micros=total,
        storms=facts.storms,
        carried_in_micros=facts.carried_in_micros,
        payable=payable,
        carried_out_micros=carried,
    )


def _of_site(site_id: str, month: str, entries: pa.RecordBatch) -> list[dict[str, Any]]:
    of_site = pc.equal(entries.column("site_id"), site_id)
    in_month = pc.equal(entries.column("period").cast(pa.string()), month)
    found: list[dict[str, Any]] = entries.filter(pc.and_(of_site, in_month)).to_pylist()
    return [row for row in found if row["kind"] != "payout"]


def _signed(row: Mapping[str, Any], account: str) -> int:
    amount: int = row["amount_micros"]
    return amount if row["credit"] == account else -amount


def _lines(
    rows: Iterable[Mapping[str, Any]],
    account: str,
    programs: Mapping[tuple[str, int], Program],
) -> tuple[StatementLine, ...]:
    groups: dict[tuple[EntryKind, str, int], list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        groups[row["kind"], row["program_id"], row["program_version"]].append(row)
    return tuple(
        _line(key, groups[key], account, programs.get((key[1], key[2]))) for key in sorted(groups)
    )


def _line(
    key: tuple[EntryKind, str, int],
    rows: list[Mapping[str, Any]],
    account: str,
    program: Program | None,
) -> StatementLine:
    kind, program_id, version = key
    sign = np.array([-1 if row["reverses"] else 1 for row in rows])
    amounts = np.array([_signed(row, account) for row in rows], np.int64)
    energy, price, share = (
        np.array([row[name] for row in rows], np.float64)
        for name in ("delivered_wh", "price_per_mwh", "share")
    )
    paid_wh = np.where(amounts == 0, 0.0, np.nan_to_num(energy)) * sign
    weighted = float(np.nansum(paid_wh * price))
    total_wh = float(paid_wh.sum())
    priced = total_wh != 0 and not np.isnan(price).any()
    return StatementLine(
        kind=kind,
        program_id=program_id,
        program_version=version,
        baseline=program.baseline if program else None,
        intervals=int(sign[amounts != 0].sum()),
        delivered_wh=total_wh,
        price_per_mwh=weighted / total_wh if priced else None,
        share=None if np.isnan(share).any() else float(share[0]),
        amount_micros=int(amounts.sum()),
    )
