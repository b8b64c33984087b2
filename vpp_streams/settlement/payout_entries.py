"""The entries of approved payouts: each site's account is debited by what its owner is paid."""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from schemas.bounds import PARTITIONS
from schemas.settlement import BANK, SETTLEMENT_ENTRY_V1, site_account
from vpp_streams.domain.ledger.payouts import micros_per_minor
from vpp_streams.domain.registry.hashing import partition_of
from vpp_streams.settlement.payouts import decimals_of
from vpp_streams.settlement.tables import ENTRY_GROUPS, PAYOUT_LINES, PAYOUTS


@dataclass(frozen=True, slots=True)
class PayoutRecord:
    """A record of entries that has yet to be sent."""

    payout_id: str
    partition: int
    batch: pa.RecordBatch


def payout_records(connection: sa.Connection, sent: Collection[str]) -> list[PayoutRecord]:
    """Records of approved payouts that are not booked completely, but for those that were sent."""
    g, p = ENTRY_GROUPS.c, PAYOUTS.c
    booked = (
        sa.select(g.program_id, sa.func.sum(g.entries).label("entries"))
        .where(g.kind == "payout")
        .group_by(g.program_id)
        .subquery()
    )
    open_ = (
        sa.select(PAYOUTS)
        .join_from(PAYOUTS, booked, booked.c.program_id == p.payout_id, isouter=True)
        .where(p.approved_by.is_not(None), sa.func.coalesce(booked.c.entries, 0) < p.sites)
        .order_by(p.approved_at_ms)
    )
    return [
        record
        for payout in connection.execute(open_)
        if payout.payout_id not in sent
        for record in _records_of(connection, payout)
    ]


def _records_of(connection: sa.Connection, payout: sa.Row[Any]) -> list[PayoutRecord]:
    line = PAYOUT_LINES.c
    lines: Sequence[sa.Row[Any]] = connection.execute(
        sa.select(PAYOUT_LINES).where(line.payout_id == payout.payout_id).order_by(line.site_id)
    ).all()
    return [
        PayoutRecord(payout.payout_id, partition, _batch(payout, list(rows)))
        for (_, partition), rows in groupby(sorted(lines, key=_record), _record)
    ]


def _record(line: sa.Row[Any]) -> tuple[int, int]:
    """What the lines of one record have in common; a part has one region."""
    return line.part, partition_of(line.site_id, PARTITIONS)


def _batch(payout: sa.Row[Any], lines: Sequence[sa.Row[Any]]) -> pa.RecordBatch:
    at = datetime.fromtimestamp(payout.approved_at_ms / 1000, UTC)
    per_minor = micros_per_minor(decimals_of(payout.currency))
    nothing_measured = dict.fromkeys(
        ("energy_wh", "baseline_wh", "delivered_wh", "price_per_mwh", "share"), math.nan
    )
    rows = [
        nothing_measured
        | {
            "kind": "payout",
            "site_id": row.site_id,
            "region": row.region,
            "market": "",
            "start_ms": payout.approved_at_ms,
            "interval_ms": 1,
            "program_id": payout.payout_id,
            "program_version": 0,
            "revision": 0,
            "reverses": False,
            "period": f"{at:%Y-%m}",
            "debit": site_account(row.site_id),
            "credit": BANK,
            "amount_micros": row.amount_minor * per_minor,
            "currency": payout.currency,
            "coverage": 0.0,
            "window_revision": -1,
        }
        for row in lines
    ]
    return pa.RecordBatch.from_pylist(rows, SETTLEMENT_ENTRY_V1)
