"""Closes months in the database: entries that came too late move on, and balances are kept."""

import sqlalchemy as sa

from schemas.ledger import PeriodClosed
from vpp_streams.domain.ledger.periods import Closing, check_closing, next_period
from vpp_streams.settlement.sums import movements, net
from vpp_streams.settlement.tables import BALANCES, BLOCKS, ENTRY_GROUPS, PERIODS

_G = ENTRY_GROUPS.c


def closings_of(connection: sa.Connection) -> list[Closing]:
    """Every closed month, oldest first."""
    rows = connection.execute(sa.select(PERIODS).order_by(PERIODS.c.period))
    return [Closing(row.period, tuple(map(int, row.through.split()))) for row in rows]


def close_period(connection: sa.Connection, closed: PeriodClosed) -> None:
    """Apply a decision, once everything that it includes is booked.

    Entries that were booked after the person looked, and before this was applied, move to the next
    month, so the result does not depend on which of them was read first. Raises `RefusedError`.
    """
    closings = closings_of(connection)
    check_closing(Closing(closed.period, closed.through), closings, closed.at_ms)
    for partition, offset in enumerate(closed.through):
        late = sa.select(BLOCKS.c.block_id).where(
            BLOCKS.c.topic_partition == partition, BLOCKS.c.log_offset >= offset
        )
        connection.execute(
            sa.update(ENTRY_GROUPS)
            .where(_G.block_id.in_(late), _G.period <= closed.period)
            .values(period=next_period(closed.period))
        )
    connection.execute(
        sa.insert(PERIODS).values(
            period=closed.period,
            closed_by=closed.by,
            closed_at_ms=closed.at_ms,
            through=" ".join(map(str, closed.through)),
        )
    )
    before = closings[-1].period if closings else None
    balances = balances_at_end(closed.period, before).subquery()
    columns = [*BALANCES.c.keys()]
    connection.execute(
        sa.insert(BALANCES).from_select(columns, sa.select(sa.literal(closed.period), balances))
    )


def balances_at_end(period: str, before: str | None) -> sa.Select[tuple[int, str, int]]:
    """Account, currency and balance in micros at the end of a month.

    ``before`` is the month that was closed last before it, from whose balances they continue.
    """
    since = () if before is None else (_G.period > before,)
    moves = movements(_G.period <= period, *since)
    now = sa.select(moves.c.account_id, moves.c.currency, net(moves)).group_by(
        moves.c.account_id, moves.c.currency
    )
    earlier = sa.select(
        BALANCES.c.account_id, BALANCES.c.currency, BALANCES.c.balance_micros
    ).where(BALANCES.c.period == (before or ""))
    both = sa.union_all(now, earlier).subquery()
    return sa.select(
        both.c.account_id,
        both.c.currency,
        sa.cast(sa.func.sum(both.c.micros), sa.BigInteger).label("balance_micros"),
    ).group_by(both.c.account_id, both.c.currency)
