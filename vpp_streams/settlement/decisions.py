"""Applies decisions (topic ``ledger.decisions``) in their order, each once."""

from dataclasses import dataclass

import sqlalchemy as sa

from schemas.ledger import (
    LedgerDecision,
    PayoutApproved,
    PayoutPart,
    PayoutProposed,
    PeriodClosed,
)
from vpp_streams.domain.fleet.columnar import Mark
from vpp_streams.settlement.closings import close_period
from vpp_streams.settlement.database import plain_errors
from vpp_streams.settlement.offsets import advance, applied_offsets
from vpp_streams.settlement.payouts import add_part, approve, propose


@dataclass(frozen=True, slots=True)
class DecisionRecord:
    """A record of ``ledger.decisions``; without a decision it was refused, and is only passed."""

    offset: int
    mark: Mark
    decision: LedgerDecision | None


def may_apply(engine: sa.Engine, entries_topic: str, decision: LedgerDecision) -> bool:
    """Whether everything is booked that a decision includes: a closing waits for its entries."""
    if not isinstance(decision, PeriodClosed):
        return True
    with plain_errors(engine), engine.connect() as connection:
        applied = applied_offsets(connection)
    for partition, offset in enumerate(decision.through):
        found = applied.get((entries_topic, partition))
        if offset > (found.next_offset if found else 0):
            return False
    return True


def apply_decision(
    engine: sa.Engine, source: tuple[str, int], after: int | None, record: DecisionRecord
) -> None:
    """Apply one record in a transaction of its own.

    Raises `RefusedError` for a decision that cannot be, and `LedgerError` where the database fails
    or another process has applied it.
    """
    with plain_errors(engine), engine.begin() as connection:
        advance(connection, source, after, record.offset + 1, mark=record.mark)
        match record.decision:
            case PeriodClosed() as closed:
                close_period(connection, closed)
            case PayoutPart() as part:
                add_part(connection, part)
            case PayoutProposed() as proposed:
                propose(connection, proposed)
            case PayoutApproved() as approved:
                approve(connection, approved)
