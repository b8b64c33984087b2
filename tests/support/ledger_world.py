"""Entries of a small fleet, and a ledger that they are booked into without Kafka."""

import hashlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from schemas.bounds import PARTITIONS
from schemas.entry_frames import decode_entries, encode_entries
from schemas.ledger import LedgerDecision
from schemas.settlement import (
    OPERATOR,
    SETTLEMENT_ENTRY_V1,
    market_account,
    revenue_account,
    site_account,
)
from vpp_streams.domain.fleet.columnar import Mark
from vpp_streams.domain.ledger.blocks import block_of
from vpp_streams.domain.registry.hashing import partition_of
from vpp_streams.settings import Settings
from vpp_streams.settlement.booking import BlockRecord, Books
from vpp_streams.settlement.database import entries_topic, open_ledger
from vpp_streams.settlement.decisions import DecisionRecord, apply_decision

MARKET, REGION = "sim", "north"
OCTOBER_MS = 1_727_740_800_000
"""2024-10-01 00:00 UTC."""
INTERVAL_MS = 300_000


def row(**changes: Any) -> dict[str, Any]:
    """An entry: by default the share of home-1 in the first interval of October."""
    default = {
        "kind": "share",
        "site_id": "home-1",
        "region": REGION,
        "market": MARKET,
        "start_ms": OCTOBER_MS,
        "interval_ms": INTERVAL_MS,
        "program_id": "standard",
        "program_version": 1,
        "revision": 0,
        "reverses": False,
        "period": "2024-10",
        "debit": revenue_account(MARKET, REGION),
        "amount_micros": 1_000,
        "currency": "EUR",
        "energy_wh": 120.0,
        "baseline_wh": 20.0,
        "delivered_wh": 100.0,
        "coverage": 1.0,
        "price_per_mwh": 80.5,
        "share": 0.6,
        "window_revision": 0,
    }
    made: dict[str, Any] = default | changes
    return {"credit": site_account(made["site_id"])} | made


def reversal(entry: Mapping[str, Any], period: str = "2024-10") -> dict[str, Any]:
    """The entry that takes another one back."""
    turned = {"debit": entry["credit"], "credit": entry["debit"]}
    return {**entry, **turned, "reverses": True, "period": period}


def batch(rows: Iterable[Mapping[str, Any]]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(list(rows), SETTLEMENT_ENTRY_V1)


def home_of(partition: int, number: int = 0) -> str:
    """A site id in a partition."""
    ids = (f"home-{n}" for n in range(10_000))
    return [s for s, _ in zip((i for i in ids if partition_of(i, PARTITIONS) == partition),
                              range(number + 1), strict=False)][-1]  # fmt: skip


def interval(
    start_ms: int, amounts: Mapping[str, int], *, operator_micros: int = 400, **changes: Any
) -> dict[int, list[dict[str, Any]]]:
    """An interval's entries by partition: what the market pays, the owners' shares, the rest."""
    none = {
        "site_id": "",
        "program_id": "",
        "program_version": 0,
        "share": math.nan,
        "start_ms": start_ms,
    }
    revenue = revenue_account(MARKET, REGION)
    total = sum(amounts.values()) + operator_micros
    paid = {"debit": market_account(MARKET), "credit": revenue, "amount_micros": total}
    rest = {"debit": revenue, "credit": OPERATOR, "amount_micros": operator_micros}
    rows: dict[int, list[dict[str, Any]]] = {
        0: [
            row(**none, kind="market", **paid, **changes),
            row(**none, kind="operator", **rest, **changes),
        ]
    }
    for site_id, micros in amounts.items():
        share = row(site_id=site_id, start_ms=start_ms, amount_micros=micros, **changes)
        rows.setdefault(partition_of(site_id, PARTITIONS), []).append(share)
    return rows


@dataclass
class LedgerWorld:
    """A ledger, and the log that it is built from, in memory."""

    settings: Settings
    log: list[tuple[int, bytes]] = field(default_factory=list)
    """Partition and bytes of each record of entries, as they were written."""
    decisions: list[LedgerDecision] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.engine = open_ledger(self.settings, create=True)
        self.topic = entries_topic(self.settings)
        self.books = Books(self.engine, self.topic)
        self._ends = [0] * PARTITIONS

    @property
    def through(self) -> tuple[int, ...]:
        """By partition: the offset of the next record."""
        return tuple(self._ends)

    def book(self, partition: int, rows: Iterable[Mapping[str, Any]]) -> None:
        """Book one record."""
        self.book_bytes(partition, encode_entries(batch(rows)))

    def book_bytes(self, partition: int, value: bytes) -> None:
        self.log.append((partition, value))
        at = self._ends[partition]
        record = block_record(partition, at, value)
        self.books.book(partition, at or None, [record])
        self._ends[partition] = at + 1

    def book_interval(self, start_ms: int, amounts: Mapping[str, int], **changes: Any) -> None:
        for partition, rows in interval(start_ms, amounts, **changes).items():
            self.book(partition, rows)

    def decide(self, decision: LedgerDecision) -> None:
        """Apply a decision. Raises `RefusedError`."""
        at = len(self.decisions)
        record = DecisionRecord(at, Mark(0, 0), decision)
        apply_decision(self.engine, ("ledger.decisions", 0), at or None, record)
        self.decisions.append(decision)

    def connect(self) -> sa.Connection:
        return self.engine.connect()


def block_record(partition: int, offset: int, value: bytes) -> BlockRecord:
    block = block_of(decode_entries(value), partition)
    return BlockRecord(offset, Mark(offset, 0), hashlib.sha256(value).hexdigest(), block)
