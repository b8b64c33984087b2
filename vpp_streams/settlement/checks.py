"""Checks a ledger against itself; its digest shows whether two ledgers say the same."""

import hashlib
from collections.abc import Iterator

import sqlalchemy as sa

from schemas.settlement import revenue_account, site_account
from vpp_streams.domain.ledger.payouts import micros_per_minor
from vpp_streams.settlement.closings import balances_at_end, closings_of
from vpp_streams.settlement.payouts import decimals_of
from vpp_streams.settlement.sums import movements
from vpp_streams.settlement.tables import (
    ACCOUNTS,
    BALANCES,
    ENTRIES,
    ENTRY_GROUPS,
    PAYOUT_LINES,
    PAYOUTS,
    PERIODS,
)

_A, _E, _G = ACCOUNTS.c, ENTRIES.c, ENTRY_GROUPS.c
_REVENUE = revenue_account("", "").split(":", maxsplit=1)[0] + ":"


def faults(connection: sa.Connection) -> Iterator[str]:
    """One sentence for each thing that is not in order; none for a sound ledger."""
    yield from changed_entries(connection)
    yield from undivided_intervals(connection)
    yield from changed_closings(connection)
    yield from payouts_not_as_approved(connection)


def changed_entries(connection: sa.Connection) -> Iterator[str]:
    """Records whose stored entries are not those that were booked."""
    stored = (
        sa.select(
            _E.group_id, sa.func.count().label("n"), sa.func.sum(_E.amount_micros).label("micros")
        )
        .group_by(_E.group_id)
        .subquery()
    )
    both = sa.select(
        *(_G.group_id, _G.region, _G.market, _G.start_ms, _G.kind, _G.entries, _G.amount_micros),
        *(stored.c.n, stored.c.micros, stored.c.group_id.label("stored_id")),
    ).join_from(ENTRY_GROUPS, stored, _G.group_id == stored.c.group_id, full=True)
    differs = sa.or_(
        _G.group_id.is_(None),
        stored.c.group_id.is_(None),
        _G.entries != stored.c.n,
        _G.amount_micros != stored.c.micros,
    )
    for row in connection.execute(both.where(differs)):
        if row.group_id is None:
            yield f"{row.n} entries belong to group {row.stored_id}, which does not exist"
            continue
        yield (
            f"{row.region}, {row.market or 'no market'}, {row.start_ms}, {row.kind}: it has"
            f" {row.n or 0} entries of {int(row.micros or 0)} micros, booked were {row.entries}"
            f" of {row.amount_micros}"
        )


def undivided_intervals(connection: sa.Connection) -> Iterator[str]:
    """Intervals of which a market paid another amount than owners and operator received."""
    rest = _revenue_rest().subquery()
    for row in connection.execute(
        sa.select(rest).where(rest.c.micros != 0).order_by(*list(rest.c)[:3])
    ):
        yield (
            f"{row.name}, interval {row.start_ms}: {int(row.micros)} micros of {row.currency} are"
            " not divided (0 = what the market paid is what owners and operator received)"
        )


def undivided_count(connection: sa.Connection) -> int:
    """Number of intervals that `undivided_intervals` names."""
    rest = _revenue_rest().subquery()
    return connection.scalar(sa.select(sa.func.count()).where(rest.c.micros != 0)) or 0


def _revenue_rest() -> sa.Select[tuple[str, int, str, int]]:
    """Balances of revenue accounts by interval."""
    sides = sa.union_all(
        *(
            sa.select(
                side.label("account_id"),
                _G.start_ms,
                _G.currency,
                (sign * _G.amount_micros).label("micros"),
            ).where(side.is_not(None))
            for side, sign in ((_G.credit_id, 1), (_G.debit_id, -1))
        )
    ).subquery()
    by = (_A.name, sides.c.start_ms, sides.c.currency)
    return (
        sa.select(*by, sa.func.sum(sides.c.micros).label("micros"))
        .join_from(sides, ACCOUNTS, _A.account_id == sides.c.account_id)
        .where(_A.name.startswith(_REVENUE, autoescape=True))
        .group_by(*by)
    )


def changed_closings(connection: sa.Connection) -> Iterator[str]:
    """Closed months whose entries no longer add up to the balances at their closing."""
    before = None
    for closing in closings_of(connection):
        kept = {
            (row.account_id, row.currency): row.balance_micros
            for row in connection.execute(
                sa.select(BALANCES).where(BALANCES.c.period == closing.period)
            )
        }
        found = {
            (row.account_id, row.currency): row.balance_micros
            for row in connection.execute(balances_at_end(closing.period, before))
        }
        changed = len(dict(kept.items() ^ found.items()))
        if changed:
            yield f"{closing.period} is closed, and {changed} balances at its end have changed"
        before = closing.period


def payouts_not_as_approved(connection: sa.Connection) -> Iterator[str]:
    """Payouts that debited sites by other amounts than a second person approved."""
    booked = sa.select(
        _G.program_id, _A.name, _G.currency, sa.func.sum(_E.amount_micros).label("micros")
    ).select_from(
        ENTRIES.join(ENTRY_GROUPS, _E.group_id == _G.group_id).join(
            ACCOUNTS, _A.account_id == _E.site_account
        )
    )
    by_site = {
        (row.program_id, row.name, row.currency): int(row.micros)
        for row in connection.execute(
            booked.where(_G.kind == "payout").group_by(_G.program_id, _A.name, _G.currency)
        )
    }
    lines = sa.select(PAYOUT_LINES, PAYOUTS.c.currency).join_from(
        PAYOUT_LINES, PAYOUTS, PAYOUTS.c.payout_id == PAYOUT_LINES.c.payout_id
    )
    approved = {
        (row.payout_id, site_account(row.site_id), row.currency): row.amount_minor
        * micros_per_minor(decimals_of(row.currency))
        for row in connection.execute(lines.where(PAYOUTS.c.approved_by.is_not(None)))
    }
    for key in sorted(by_site.keys() | approved.keys()):
        payout_id, account, currency = key
        if (paid := by_site.get(key, 0)) != (right := approved.get(key, 0)):
            yield (
                f"payout {payout_id or '(without a name)'}: {account} was debited {paid} micros of"
                f" {currency}, approved are {right}"
            )


def digest(connection: sa.Connection) -> str:
    """SHA-256 of what the ledger says: sums by account and month, closings and payouts.

    It does not depend on the order in which records were booked, nor on the database.
    """
    moves = movements(columns=(_G.period,))
    sums = sa.select(
        _A.name,
        moves.c.period,
        moves.c.currency,
        moves.c.sign,
        sa.func.sum(moves.c.entries).label("entries"),
        sa.func.sum(moves.c.micros).label("micros"),
    ).join_from(moves, ACCOUNTS, _A.account_id == moves.c.account_id)
    by = (_A.name, moves.c.period, moves.c.currency, moves.c.sign)
    lines = [
        f"{r.name}\t{r.period}\t{r.currency}\t{r.sign}\t{r.entries}\t{int(r.micros)}"
        for r in connection.execute(sums.group_by(*by))
    ]
    for table in (PERIODS, PAYOUTS, PAYOUT_LINES):
        lines += ["\t".join(map(str, row)) for row in connection.execute(sa.select(table))]
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()
