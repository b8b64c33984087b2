"""Payouts in the database: proposals with their lines, and approvals by a second person."""

from collections.abc import Mapping

import sqlalchemy as sa
from babel.numbers import get_currency_precision

from schemas.ledger import PayoutApproved, PayoutPart, PayoutProposed
from schemas.settlement import site_account
from vpp_streams.domain.ledger.payouts import Proposal, fault_of_approval
from vpp_streams.errors import RefusedError
from vpp_streams.settlement.closings import closings_of
from vpp_streams.settlement.tables import ACCOUNTS, BALANCES, PAYOUT_LINES, PAYOUTS

_L, _P = PAYOUT_LINES.c, PAYOUTS.c


def add_part(connection: sa.Connection, part: PayoutPart) -> None:
    """Keep lines of a payout that is going to be proposed. Raises `RefusedError`."""
    if connection.scalar(sa.select(_P.payout_id).where(_P.payout_id == part.payout_id)):
        raise RefusedError(f"{part.payout_id} was proposed before: nothing can be added to it")
    rows = [
        {
            "payout_id": part.payout_id,
            "part": part.part,
            "region": part.region,
            "site_id": line.site_id,
            "amount_minor": line.amount_minor,
        }
        for line in part.lines
    ]
    before = connection.scalars(sa.select(_L.site_id).where(_L.payout_id == part.payout_id)).all()
    if len({*before, *(line.site_id for line in part.lines)}) < len(before) + len(rows):
        raise RefusedError(f"a site is in {part.payout_id} twice")
    connection.execute(sa.insert(PAYOUT_LINES), rows)


def propose(connection: sa.Connection, proposed: PayoutProposed) -> None:
    """Keep a proposal if its lines are complete. Raises `RefusedError`."""
    if connection.scalar(sa.select(_P.payout_id).where(_P.payout_id == proposed.payout_id)):
        raise RefusedError(f"{proposed.payout_id} was proposed before")
    of_lines = sa.select(
        sa.func.count(sa.distinct(_L.part)),
        sa.func.count(),
        sa.func.coalesce(sa.func.sum(_L.amount_minor), 0),
    ).where(_L.payout_id == proposed.payout_id)
    found = tuple(map(int, connection.execute(of_lines).one()))
    said = (proposed.parts, proposed.sites, proposed.total_minor)
    if found != said:
        raise RefusedError(
            "its parts, sites and total are {}, {} and {}, not {}, {} and {}".format(*found, *said)
        )
    connection.execute(
        sa.insert(PAYOUTS).values(
            payout_id=proposed.payout_id,
            period=proposed.period,
            currency=proposed.currency,
            proposed_by=proposed.by,
            proposed_at_ms=proposed.at_ms,
            sites=proposed.sites,
            total_minor=proposed.total_minor,
            payees_sha256=proposed.payees_sha256,
        )
    )


def approve(connection: sa.Connection, approved: PayoutApproved) -> None:
    """Approve a proposal. Raises `RefusedError`."""
    fault = approval_fault(connection, approved.payout_id, approved.by)
    if fault is not None:
        raise RefusedError(fault)
    connection.execute(
        sa.update(PAYOUTS)
        .where(_P.payout_id == approved.payout_id)
        .values(approved_by=approved.by, approved_at_ms=approved.at_ms)
    )


def approval_fault(connection: sa.Connection, payout_id: str, by: str) -> str | None:
    """Why a person may not approve a payout, in one sentence; None = may."""
    row = connection.execute(sa.select(PAYOUTS).where(_P.payout_id == payout_id)).one_or_none()
    if row is None:
        return f"there is no payout {payout_id}"
    paid = sa.select(_P.payout_id).where(
        _P.period == row.period, _P.currency == row.currency, _P.approved_by.is_not(None)
    )
    closings = closings_of(connection)
    proposal = Proposal(
        payout_id=payout_id,
        period=row.period,
        currency=row.currency,
        proposed_by=row.proposed_by,
        decimals=decimals_of(row.currency),
        lines=lines_of(connection, payout_id),
    )
    return fault_of_approval(
        proposal,
        by,
        newest_closed=closings[-1].period if closings else None,
        approved=connection.scalars(paid.order_by(_P.approved_at_ms)).all(),
        balances_micros=site_balances(connection, row.period, row.currency),
    )


def decimals_of(currency: str) -> int:
    """Decimals of a currency's minor unit, by ISO 4217 (EUR 2, JPY 0)."""
    return get_currency_precision(currency)


def lines_of(connection: sa.Connection, payout_id: str) -> Mapping[str, int]:
    """Minor units by site, in the order of sites."""
    lines = sa.select(_L.site_id, _L.amount_minor).where(_L.payout_id == payout_id)
    return dict(connection.execute(lines.order_by(_L.site_id)).all())


def site_balances(connection: sa.Connection, period: str, currency: str) -> dict[str, int]:
    """What each site is owed at the end of a closed month, micros, by site id."""
    prefix = site_account("")
    rows = connection.execute(
        sa.select(ACCOUNTS.c.name, BALANCES.c.balance_micros)
        .join_from(BALANCES, ACCOUNTS, ACCOUNTS.c.account_id == BALANCES.c.account_id)
        .where(BALANCES.c.period == period, BALANCES.c.currency == currency)
        .where(ACCOUNTS.c.name.startswith(prefix, autoescape=True))
    )
    return {name.removeprefix(prefix): micros for name, micros in rows}
