"""A statement as its owner reads it: the same document as JSON, CSV, PDF, page and terminal."""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal
from zoneinfo import ZoneInfo

import msgspec
import pyarrow as pa

from schemas.programs import Program
from schemas.settlement import OPERATOR, SETTLEMENT_ENTRY_V1, site_account
from vpp_streams.domain.ledger.pain001 import amount_text
from vpp_streams.domain.ledger.site_entries import SiteEntry
from vpp_streams.domain.moments import HOUR_MS
from vpp_streams.domain.settle.periods import month_bounds_ms
from vpp_streams.domain.settle.statement import MonthFacts, Statement, StatementLine, statement
from vpp_streams.domain.settle.storm_cost import StormBill
from vpp_streams.domain.statements.arithmetic import (
    KINDS,
    Formula,
    Money,
    Paid,
    formula,
    money,
    storm_formula,
)
from vpp_streams.domain.statements.intervals import Measured, by_interval, measured

State = Literal["open", "closed"]
MONTH = r"^(19|20)\d\d-(0[1-9]|1[0-2])$"
"""Months as statements name them."""
HOW_TO_CHECK = (
    "Share: delivered energy × price × the owner's share. The delivered energy is what the"
    " connection did beyond its baseline, as the terms define it.",
    "Energy and events: delivered energy × the program's price, or events × its rate.",
    "Availability: rated power × measured hours in which the home took part × the program's rate.",
    "Each line is the sum of its entries. The entries, with measured energy, baseline and"
    " coverage, are on the statement's page; nothing is rounded before the micro"
    " (0.000001 of the currency's unit).",
    "Earned before and not paid out + earned in this month = owed. Whole cents of it are paid out;"
    " the rest is carried into the next month.",
)


class StatementRow(msgspec.Struct, frozen=True, kw_only=True):
    """What one kind of payment under one version of a program came to."""

    kind: str
    said: str
    """What the kind is, for people."""
    program_id: str
    program_version: int
    program_name: str
    """Empty = the terms are not known here."""
    baseline: str | None
    """What energy was compared with: see `schemas.programs.BaselineMethod`; null = not known."""
    intervals: int
    """Market intervals, events or months in which it was paid for."""
    delivered_wh: float
    """Paid energy, + = export; of availability power times hours."""
    price_per_kwh: float | None
    """Mean price in units of the currency, weighted by energy; null = no single one."""
    share: float | None
    amount: Money
    formula: Formula


class PaidOut(msgspec.Struct, frozen=True, kw_only=True):
    """A transfer to the owner's bank account."""

    payout_id: str
    at_ms: int
    amount: Money


class StormsOfMonth(msgspec.Struct, frozen=True, kw_only=True):
    """What storms cost by the owner's tariff. It is information, and not part of the total."""

    cost: Money
    """Negative = the battery earned more than it cost."""
    charged_wh: float
    """Energy that the battery took in storms, less what it gave."""
    formula: Formula
    unknown_intervals: int
    """Intervals without a measurement or price, which are not in it."""


class MeasuredPart(msgspec.Struct, frozen=True, kw_only=True):
    """How much of the settled time of a month was measured; what is missing is not paid."""

    settled_h: float
    """Hours in intervals that were settled for the site."""
    measured_h: float
    missing_min: float
    intervals_with_gaps: int
    complete: bool


class StatementDocument(msgspec.Struct, frozen=True, kw_only=True):
    """One site's statement for one month of the books."""

    site_id: str
    month: str
    zone: str
    """Time zone whose month it is."""
    starts_ms: int
    ends_ms: int
    hours: float
    """Length of the local month: clocks may have skipped or repeated an hour."""
    state: State
    """``closed``: it never changes. ``open``: entries may still be added."""
    currency: str
    decimals: int
    """Decimals of the currency's smallest unit that can be paid out."""
    rows: list[StatementRow]
    measured: MeasuredPart
    corrected: Money
    """Corrections of earlier months that count in this one; they are in the rows and the total."""
    total: Money
    """Earned in this month."""
    storms: StormsOfMonth | None
    """null = no storm, or its cost is not known."""
    owed_before: Money
    """Balance at the beginning of the month."""
    paid_out: list[PaidOut]
    """Payouts in this month, of earlier earnings."""
    payable: Money
    """What can be paid out at the end of the month: whole units of the smallest coin."""
    carried: Money
    """The rest, which is carried into the next month."""
    how_to_check: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class MonthBooks:
    """What the ledger says about a month beside the entries."""

    zone: ZoneInfo
    closed: bool
    owed_before_micros: int
    decimals: int
    currency: str = ""
    """The currency of the site's account where the month itself has no entry."""
    storms: StormBill | None = None


def document_of(
    site_id: str,
    month: str,
    entries: Sequence[SiteEntry],
    programs: Collection[Program],
    books: MonthBooks,
) -> StatementDocument:
    """The statement of a site, from its entries that count in the month.

    Raises `ValueError` for entries in several currencies.
    """
    starts_ms, ends_ms = month_bounds_ms(month, books.zone)
    found = measured([i for i in by_interval(entries) if starts_ms <= i.start_ms < ends_ms])
    payouts = [one for one in entries if one.kind == "payout"]
    paid_micros = sum(one.micros for one in payouts)  # negative: it reduces what is owed
    facts = MonthFacts(
        zone=books.zone,
        measured_hours=(ends_ms - starts_ms - found.missing_ms) / HOUR_MS,
        digits=books.decimals,
        carried_in_micros=books.owed_before_micros + paid_micros,
        storms=books.storms,
    )
    told = statement(site_id, month, _batch(site_id, entries), programs, facts)
    currency = told.currency or next((one.currency for one in payouts), books.currency)
    of_program = {(one.program_id, one.version): one for one in programs}
    payable_micros = books.owed_before_micros + paid_micros + told.total_micros
    payable_micros -= told.carried_out_micros
    return StatementDocument(
        site_id=site_id,
        month=month,
        zone=str(books.zone),
        starts_ms=starts_ms,
        ends_ms=ends_ms,
        hours=told.hours,
        state="closed" if books.closed else "open",
        currency=currency,
        decimals=books.decimals,
        rows=[_row(line, currency, of_program) for line in told.lines],
        measured=_measured(found),
        corrected=money(told.corrected_micros, currency),
        total=money(told.total_micros, currency),
        storms=_storms(told, currency),
        owed_before=money(books.owed_before_micros, currency),
        paid_out=[
            PaidOut(
                payout_id=one.program_id,
                at_ms=one.start_ms,
                amount=money(-one.micros, one.currency),
            )
            for one in payouts
        ],
        payable=money(payable_micros, currency),
        carried=money(told.carried_out_micros, currency),
        how_to_check=list(HOW_TO_CHECK),
    )


def is_month(text: str) -> bool:
    """Whether a text is a month as statements name them, for example ``2026-11``."""
    return re.fullmatch(MONTH, text) is not None


def payable_text(document: StatementDocument) -> str:
    """What can be paid out, with the decimals of the currency, for example ``12.34 EUR``."""
    minor = document.payable.micros // 10 ** (6 - document.decimals)
    return f"{amount_text(minor, document.decimals)} {document.currency}".strip()


def _row(
    line: StatementLine, currency: str, of_program: dict[tuple[str, int], Program]
) -> StatementRow:
    program = of_program.get((line.program_id, line.program_version))
    paid = Paid(
        kind=line.kind,
        delivered_wh=line.delivered_wh,
        price_per_mwh=line.price_per_mwh,
        share=line.share,
        micros=line.amount_micros,
        currency=currency,
        count=line.intervals,
    )
    return StatementRow(
        kind=line.kind,
        said=KINDS[line.kind],
        program_id=line.program_id,
        program_version=line.program_version,
        program_name=program.name if program else "",
        baseline=line.baseline,
        intervals=line.intervals,
        delivered_wh=line.delivered_wh,
        price_per_kwh=None if line.price_per_mwh is None else line.price_per_mwh / 1000,
        share=line.share,
        amount=money(line.amount_micros, currency),
        formula=formula(paid),
    )


def _measured(found: Measured) -> MeasuredPart:
    return MeasuredPart(
        settled_h=found.settled_ms / HOUR_MS,
        measured_h=found.measured_ms / HOUR_MS,
        missing_min=found.missing_ms / 60_000,
        intervals_with_gaps=found.gaps,
        complete=not found.missing_ms,
    )


def _storms(told: Statement, currency: str) -> StormsOfMonth | None:
    if told.storms is None:
        return None
    return StormsOfMonth(
        cost=money(told.storms.micros, currency),
        charged_wh=told.storms.charged_wh,
        formula=storm_formula(told.storms, currency),
        unknown_intervals=told.storms.unknown,
    )


def _batch(site_id: str, entries: Iterable[SiteEntry]) -> pa.RecordBatch:
    """The entries as records of topic ``settlement.entries``; the other account is the operator."""
    account = site_account(site_id)
    rows = [
        {
            **{name: getattr(one, name) for name in _SAME},
            "site_id": site_id,
            "debit": OPERATOR if one.micros >= 0 else account,
            "credit": account if one.micros >= 0 else OPERATOR,
            "amount_micros": abs(one.micros),
        }
        for one in entries
    ]
    return pa.RecordBatch.from_pylist(rows, SETTLEMENT_ENTRY_V1)


_SAME = tuple(
    name
    for name in SETTLEMENT_ENTRY_V1.names
    if name not in ("site_id", "debit", "credit", "amount_micros")
)
