"""What sites earned in periods of time: one answer of the database, whatever their number."""

from collections.abc import Iterator, Sequence
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from schemas.settlement import site_account
from vpp_streams.domain.history.site_earnings import EntrySum, Span
from vpp_streams.domain.moments import DAY_MS
from vpp_streams.domain.settle.periods import month_after, month_bounds_ms, month_of
from vpp_streams.settlement.tables import ACCOUNTS, ENTRIES, ENTRY_GROUPS

_A, _E, _G = ACCOUNTS.c, ENTRIES.c, ENTRY_GROUPS.c
_OF_SITES = site_account("")
_SIGN = sa.case((_G.credit_id.is_(None), 1), else_=0) - sa.case((_G.debit_id.is_(None), 1), else_=0)
_STANDS = sa.case((_G.reverses, -1), else_=1)
"""A reversal takes back what its entry stated, too."""


def first_entry_ms(connection: sa.Connection, site_id: str | None) -> int | None:
    """Start of the first interval (of a site: of its day, UTC) with an entry; None = no entry."""
    if site_id is None:
        first = sa.select(sa.func.min(_G.start_ms)).where(_G.kind != "payout")
        found: int | None = connection.scalar(first)
        return found
    of_site = _A.name == site_account(site_id)
    joined = ENTRIES.join(ACCOUNTS, _A.account_id == _E.site_account)
    day = connection.scalar(sa.select(sa.func.min(_E.day)).select_from(joined).where(of_site))
    return None if day is None else int(day) * DAY_MS


def entry_sums(
    connection: sa.Connection,
    spans: Sequence[Span],
    zone: ZoneInfo,
    *,
    site_id: str | None,
    region: str | None,
) -> Iterator[EntrySum]:
    """Sums of the entries of sites by span, kind and currency; payouts are left out.

    ``spans`` do not overlap. An entry belongs to the start of its interval; one that counts in a
    later month, because its own was closed, to the beginning of that month: with its money and
    energy, while the time that was measured remains that of the closed month.
    """
    groups = _groups(spans, zone, region)
    days = connection.execute(sa.select(sa.func.min(groups.c.day), sa.func.max(groups.c.day))).one()
    if days[0] is None:
        return
    g = groups.c
    known: sa.ColumnElement[float | None] = _E.delivered_wh
    if connection.dialect.name == "postgresql":  # SQLite has no NaN
        known = sa.func.nullif(known, sa.cast("NaN", sa.Double))
    sums = (
        sa.select(
            _A.name,
            sa.func.max(g.region),
            *(g.span, g.kind, g.currency),
            sa.cast(sa.func.sum(g.sign * _E.amount_micros), sa.BigInteger),
            sa.cast(sa.func.sum(g.stands * g.inside), sa.BigInteger),
            sa.func.sum(g.stands * known),
            sa.func.sum(g.stands * g.inside * _E.coverage * g.interval_ms),
            sa.cast(sa.func.sum(g.stands * g.inside * g.interval_ms), sa.BigInteger),
        )
        .select_from(groups)
        .join(ENTRIES, _E.group_id == g.group_id)
        .join(ACCOUNTS, _A.account_id == _E.site_account)
        .where(_E.day.between(*days))
        .group_by(_A.name, g.span, g.kind, g.currency)
    )
    if site_id is not None:
        sums = sums.where(_A.name == site_account(site_id))
    for name, *rest in connection.execute(sums):
        yield EntrySum(name.removeprefix(_OF_SITES), *rest)


def _groups(spans: Sequence[Span], zone: ZoneInfo, region: str | None) -> sa.CTE:
    """The groups of entries in the spans, each with the number of its span."""
    months = _table("months", [(m, *month_bounds_ms(m, zone)) for m in _months(spans, zone)])
    inside = sa.and_(_G.start_ms >= months.c.since_ms, _G.start_ms < months.c.until_ms)
    moment = sa.case((inside, _G.start_ms), else_=months.c.since_ms)
    numbered = _table("spans", [(number, *span) for number, span in enumerate(spans)])
    chosen = (
        sa.select(
            *(_G.group_id, _G.day, _G.region, _G.kind, _G.currency, _G.interval_ms),
            _SIGN.label("sign"),
            _STANDS.label("stands"),
            sa.case((inside, 1), else_=0).label("inside"),
            numbered.c.name.label("span"),
        )
        .select_from(ENTRY_GROUPS)
        .join(months, _G.period == months.c.name)
        .join(numbered, sa.and_(moment >= numbered.c.since_ms, moment < numbered.c.until_ms))
        .where(_G.kind != "payout", sa.or_(_G.credit_id.is_(None), _G.debit_id.is_(None)))
    )
    return (chosen if region is None else chosen.where(_G.region == region)).cte("chosen")


def _table(name: str, rows: list[tuple[str | int, int, int]]) -> sa.CTE:
    columns = (
        sa.column("name", sa.Text if isinstance(rows[0][0], str) else sa.BigInteger),
        sa.column("since_ms", sa.BigInteger),
        sa.column("until_ms", sa.BigInteger),
    )
    return sa.values(*columns, name=name, literal_binds=True).data(rows).cte(name)


def _months(spans: Sequence[Span], zone: ZoneInfo) -> list[str]:
    found = [month_of(spans[0][0], zone)]
    while month_bounds_ms(found[-1], zone)[1] < spans[-1][1]:
        found.append(month_after(found[-1]))
    return found
