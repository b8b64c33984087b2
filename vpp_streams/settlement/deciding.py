"""What a person decides about the ledger: written to the log, and then applied by the role."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import msgspec
import sqlalchemy as sa

from schemas.bounds import PARTITIONS
from schemas.ledger import LedgerDecision, PayoutApproved, PayoutProposed, Period, PeriodClosed
from schemas.settlement import site_account
from vpp_streams.domain.ledger.payouts import Payee, parts_of, payable_minor, payees_digest
from vpp_streams.domain.ledger.periods import Closing, check_closing
from vpp_streams.errors import InputError, LedgerError, RefusedError
from vpp_streams.kafka import topics
from vpp_streams.kafka.clients import KafkaClients, producing
from vpp_streams.kafka.outlet import Outlet
from vpp_streams.settings import Settings
from vpp_streams.settlement.checks import undivided_intervals
from vpp_streams.settlement.closings import closings_of
from vpp_streams.settlement.database import entries_topic, plain_errors
from vpp_streams.settlement.offsets import applied_offsets
from vpp_streams.settlement.payouts import approval_fault, decimals_of, site_balances
from vpp_streams.settlement.process import log_ends
from vpp_streams.settlement.tables import ACCOUNTS, ENTRIES, ENTRY_GROUPS, PAYOUTS

WAIT_S = 20.0
"""How long a command waits for the role to apply a decision."""


async def close(
    settings: Settings, engine: sa.Engine, period: str, *, by: str, now_ms: int
) -> bool:
    """Close a month, and all before it, with what is booked now.

    Returns whether the role has applied it within `WAIT_S`. Raises `VppError` where it cannot be
    closed, or the ledger is behind the log.
    """
    try:
        period = msgspec.convert(period, Period)
    except msgspec.ValidationError:
        raise InputError(f"{period!r} is no month: write it as 2026-10") from None
    clients = KafkaClients(settings)
    with plain_errors(engine), engine.connect() as connection:
        applied = applied_offsets(connection)
        through = _through(settings, applied)
        await _check_complete(clients, through)
        try:
            check_closing(Closing(period, through), closings_of(connection), now_ms)
        except RefusedError as error:
            raise LedgerError(str(error)) from None
        fault = next(undivided_intervals(connection), None)
    if fault is not None:
        raise LedgerError(f"nothing was closed, because the ledger is not in order: {fault}")
    closed = PeriodClosed(period=period, by=by, at_ms=now_ms, through=through)
    await _write(clients, closed)
    return await _applied(engine, lambda c: any(x.period == period for x in closings_of(c)))


def _through(settings: Settings, applied: Mapping[tuple[str, int], object]) -> tuple[int, ...]:
    topic = entries_topic(settings)
    found = (applied.get((topic, partition)) for partition in range(PARTITIONS))
    return tuple(getattr(at, "next_offset", 0) for at in found)


async def _check_complete(clients: KafkaClients, through: tuple[int, ...]) -> None:
    ends = await log_ends(clients, {})
    name = clients.full(topics.SETTLEMENT_ENTRIES)
    behind = sum(
        max(end - through[tp.partition], 0) for tp, end in ends.items() if tp.topic == name
    )
    if behind:
        raise LedgerError(
            f"the ledger is {behind} records behind the log; let `vpp settlement run` book them"
            " first"
        )


@dataclass(frozen=True, slots=True)
class ProposedPayout:
    """A proposal, and what is left out of it."""

    proposal: PayoutProposed
    without_account: Mapping[str, int]
    """Minor units owed to sites that have no bank account in the file; they stay owed."""
    applied: bool
    """Whether the role has applied it already."""


async def propose(
    settings: Settings,
    engine: sa.Engine,
    payees: Mapping[str, Payee],
    *,
    currency: str,
    by: str,
    now_ms: int,
) -> ProposedPayout:
    """Propose to pay the balances of the month that was closed last. Raises `VppError`."""
    with plain_errors(engine), engine.connect() as connection:
        closings = closings_of(connection)
        if not closings:
            raise LedgerError("no month is closed yet; `vpp ledger close MONTH` comes first")
        period = closings[-1].period
        owed = site_balances(connection, period, currency)
        regions = _regions(connection)
        earlier = sa.select(PAYOUTS).where(PAYOUTS.c.period == period)
        payouts = connection.execute(earlier.where(PAYOUTS.c.currency == currency)).all()
    if paid := [row.payout_id for row in payouts if row.approved_by is not None]:
        raise LedgerError(f"{paid[0]} has paid {period} in {currency} already")
    decimals = decimals_of(currency)
    due = {site: n for site, micros in owed.items() if (n := payable_minor(micros, decimals))}
    amounts = {site: n for site, n in due.items() if site in payees}
    if not amounts:
        raise LedgerError(f"nothing is owed in {currency} to a site that has a bank account")
    payout_id = f"payout-{period}-{currency}-{now_ms // 1000}"
    parts = parts_of(payout_id, amounts, regions)
    proposal = PayoutProposed(
        payout_id=payout_id,
        period=period,
        currency=currency,
        by=by,
        at_ms=now_ms,
        parts=len(parts),
        sites=len(amounts),
        total_minor=sum(amounts.values()),
        payees_sha256=payees_digest(payees[site] for site in amounts),
    )
    await _write(KafkaClients(settings), *parts, proposal)
    id_ = sa.select(PAYOUTS.c.payout_id).where(PAYOUTS.c.payout_id == payout_id)
    applied = await _applied(engine, lambda c: c.scalar(id_) is not None)
    return ProposedPayout(proposal, {s: n for s, n in due.items() if s not in payees}, applied)


def _regions(connection: sa.Connection) -> dict[str, str]:
    """The region of each site, by its entries."""
    e, g, prefix = ENTRIES.c, ENTRY_GROUPS.c, site_account("")
    rows = connection.execute(
        sa.select(ACCOUNTS.c.name, sa.func.max(g.region))
        .select_from(
            ENTRIES.join(ENTRY_GROUPS, e.group_id == g.group_id).join(
                ACCOUNTS, ACCOUNTS.c.account_id == e.site_account
            )
        )
        .group_by(ACCOUNTS.c.name)
    )
    return {name.removeprefix(prefix): region for name, region in rows}


async def approve(
    settings: Settings, engine: sa.Engine, payout_id: str, *, by: str, now_ms: int
) -> bool:
    """Approve a payout as a second person; returns whether the role has applied it.

    Raises `LedgerError` where the person proposed it, or it cannot be paid.
    """
    with plain_errors(engine), engine.connect() as connection:
        fault = approval_fault(connection, payout_id, by)
    if fault is not None:
        raise LedgerError(f"not approved: {fault}")
    await _write(KafkaClients(settings), PayoutApproved(payout_id=payout_id, by=by, at_ms=now_ms))
    by_whom = sa.select(PAYOUTS.c.approved_by).where(PAYOUTS.c.payout_id == payout_id)
    return await _applied(engine, lambda c: c.scalar(by_whom) is not None)


async def _write(clients: KafkaClients, *decisions: LedgerDecision) -> None:
    async with producing(clients) as producer:
        outlet = Outlet(producer, clients.settings.namespace)
        for decision in decisions:  # one after another: their order counts
            await outlet.write(topics.LEDGER_DECISIONS, decision)


async def _applied(engine: sa.Engine, is_there: Callable[[sa.Connection], bool]) -> bool:
    loop = asyncio.get_running_loop()
    give_up_s = loop.time() + WAIT_S
    while loop.time() < give_up_s:
        with plain_errors(engine), engine.connect() as connection:
            if is_there(connection):
                return True
        await asyncio.sleep(0.2)
    return False
