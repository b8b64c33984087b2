"""What people and other processes ask a ledger."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from schemas.settlement import site_account
from vpp_streams.domain.ledger.site_entries import SiteEntry
from vpp_streams.domain.moments import DAY_MS
from vpp_streams.settlement.sums import movements, net
from vpp_streams.settlement.tables import ACCOUNTS, ENTRIES, ENTRY_GROUPS, PAYOUTS, PERIODS

_A, _E, _G = ACCOUNTS.c, ENTRIES.c, ENTRY_GROUPS.c


_SIGN = sa.case((_G.credit_id.is_(None), 1), else_=0) - sa.case((_G.debit_id.is_(None), 1), else_=0)
_OF_SITE = (
    *(_G.kind, _G.region, _G.market, _G.start_ms, _G.interval_ms, _G.program_id),
    *(_G.program_version, _G.revision, _G.reverses, _G.period, _G.stated_period),
    *((_SIGN * _E.amount_micros).label("micros"), _G.currency, _G.window_revision),
    *(_E.energy_wh, _E.baseline_wh, _E.delivered_wh, _E.coverage, _G.price_per_mwh, _G.share),
)
"""The columns of `SiteEntry`, in its order."""
_NUMBERS = 6
"""How many of them, at the end, are NaN where nothing was measured."""


def account_id(connection: sa.Connection, name: str) -> int | None:
    """The number of an account; None where nothing was ever booked on it."""
    return connection.scalar(sa.select(_A.account_id).where(_A.name == name))


def site_entries(
    connection: sa.Connection, site_id: str, since_ms: int, until_ms: int
) -> list[SiteEntry]:
    """A site's entries of intervals that start in [since, until), in the order of their starts."""
    account = account_id(connection, site_account(site_id))
    if account is None:
        return []
    days = _E.day.between(since_ms // DAY_MS, (until_ms - 1) // DAY_MS)
    return _entries_of(connection, account, days, _G.start_ms >= since_ms, _G.start_ms < until_ms)


def month_entries(connection: sa.Connection, site_id: str, period: str) -> list[SiteEntry]:
    """A site's entries that count in a month, payouts too, in the order of their starts."""
    account = account_id(connection, site_account(site_id))
    # The days of the month's entries, corrections of earlier months too: other days are not read.
    days = sa.select(sa.func.min(_G.day), sa.func.max(_G.day)).where(_G.period == period)
    first, last = connection.execute(days).one()
    if account is None or first is None:
        return []
    return _entries_of(connection, account, _E.day.between(first, last), _G.period == period)


def _entries_of(
    connection: sa.Connection, account: int, *conditions: sa.ColumnElement[bool]
) -> list[SiteEntry]:
    mine = (
        sa.select(*_OF_SITE)
        .select_from(ENTRIES.join(ENTRY_GROUPS, _E.group_id == _G.group_id))
        .where(_E.site_account == account, *conditions)
        .order_by(_G.start_ms, _G.kind, _G.revision, _G.reverses)
    )
    rows = connection.execute(mine).all()
    if connection.dialect.name != "sqlite":
        return [SiteEntry._make(row) for row in rows]
    return [  # SQLite has no NaN
        SiteEntry(*row[:-_NUMBERS], *(math.nan if n is None else n for n in row[-_NUMBERS:]))
        for row in rows
    ]


@dataclass(frozen=True, slots=True)
class MonthSum:
    """What a site's entries of one month came to."""

    period: str
    currency: str
    earned_micros: int
    paid_out_micros: int
    """What was transferred to the owner's bank account in the month."""
    entries: int


def month_sums(connection: sa.Connection, site_id: str) -> list[MonthSum]:
    """Each month in which a site has entries, by currency, oldest first."""
    account = account_id(connection, site_account(site_id))
    if account is None:
        return []
    signed = sa.case((_G.credit_id.is_(None), _E.amount_micros), else_=-_E.amount_micros)
    payout = _G.kind == "payout"

    def total(condition: sa.ColumnElement[bool], value: sa.ColumnElement[int]) -> Any:
        return sa.cast(sa.func.sum(sa.case((condition, value), else_=0)), sa.BigInteger)

    sums = (
        sa.select(
            _G.period,
            _G.currency,
            total(sa.not_(payout), signed),
            total(payout, -signed),
            sa.func.count(),
        )
        .select_from(ENTRIES.join(ENTRY_GROUPS, _E.group_id == _G.group_id))
        .where(_E.site_account == account)
        .group_by(_G.period, _G.currency)
        .order_by(_G.period, _G.currency)
    )
    return [MonthSum(*row) for row in connection.execute(sums)]


def sites_of_month(connection: sa.Connection, period: str) -> list[str]:
    """The sites that have entries in a month, by id."""
    prefix = site_account("")
    days = sa.select(sa.func.min(_G.day), sa.func.max(_G.day)).where(_G.period == period)
    first, last = connection.execute(days).one()
    if first is None:
        return []
    found = (
        sa.select(_A.name)
        .where(
            _A.account_id.in_(
                sa.select(_E.site_account)
                .join_from(ENTRIES, ENTRY_GROUPS, _E.group_id == _G.group_id)
                .where(_E.day.between(first, last), _G.period == period)
            )
        )
        .order_by(_A.name)
    )
    return [name.removeprefix(prefix) for name in connection.scalars(found)]


def balances(connection: sa.Connection, name: str, before_ms: int | None = None) -> dict[str, int]:
    """An account's balance (credits less debits) in micros, by currency.

    With ``before_ms``, of the intervals that start before that time.
    """
    account = account_id(connection, name)
    if account is None:
        return {}
    until = () if before_ms is None else (_G.start_ms < before_ms,)
    moves = movements(*until, account=account)
    found = sa.select(moves.c.currency, net(moves)).group_by(moves.c.currency)
    return dict(connection.execute(found.order_by(moves.c.currency)).all())


@dataclass(frozen=True, slots=True)
class RegionDay:
    """What was credited in a region on one day (UTC), by kind."""

    region: str
    day: int
    """Days since 1970-01-01."""
    kind: str
    currency: str
    micros: int
    """Sum of the entries less that of the reversals."""
    entries: int


def region_days(
    connection: sa.Connection, since_ms: int, until_ms: int, region: str | None = None
) -> Iterator[RegionDay]:
    """Sums by region, day and kind, of intervals that start in [since, until)."""
    signed = sa.case((_G.reverses, -_G.amount_micros), else_=_G.amount_micros)
    by = (_G.region, _G.day, _G.kind, _G.currency)
    sums = (
        sa.select(*by, sa.cast(sa.func.sum(signed), sa.BigInteger), sa.func.sum(_G.entries))
        .where(_G.start_ms >= since_ms, _G.start_ms < until_ms)
        .group_by(*by)
        .order_by(*by)
    )
    if region is not None:
        sums = sums.where(_G.region == region)
    for row in connection.execute(sums):
        yield RegionDay(*row)


def closed_periods(connection: sa.Connection) -> Sequence[sa.Row[Any]]:
    """Rows of table ``periods``, oldest first."""
    return connection.execute(sa.select(PERIODS).order_by(PERIODS.c.period)).all()


def payouts(connection: sa.Connection) -> Sequence[sa.Row[Any]]:
    """Rows of table ``payouts``, oldest first."""
    return connection.execute(sa.select(PAYOUTS).order_by(PAYOUTS.c.proposed_at_ms)).all()
