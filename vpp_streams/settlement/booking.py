"""Books entries and decisions: each transaction has the rows and the offset that they came from.

A process that is killed anywhere therefore continues with the first record that is not booked, and
a second process that books the same partition fails instead of booking it twice.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import sqlalchemy as sa
from numpy.typing import NDArray

from schemas.settlement import site_account
from vpp_streams.domain.fleet.columnar import Mark
from vpp_streams.domain.ledger.blocks import NO_SITE, SITE, Block
from vpp_streams.domain.ledger.periods import Closing, booked_period
from vpp_streams.settlement.closings import closings_of
from vpp_streams.settlement.database import plain_errors
from vpp_streams.settlement.entry_rows import (
    EntryRows,
    days_without_index,
    index_days,
    joined,
    sort_a_day,
    write_accounts,
    write_rows,
)
from vpp_streams.settlement.offsets import advance
from vpp_streams.settlement.repeats import BookedGroups, entry_booked_before
from vpp_streams.settlement.tables import ACCOUNTS, BLOCKS, ENTRY_GROUPS

_SITE_PREFIX = site_account("")


@dataclass(frozen=True, slots=True)
class BlockRecord:
    """A record of ``settlement.entries``; without a block it was refused, and is only passed."""

    offset: int
    mark: Mark
    sha256: str
    block: Block | None


class EntriesRefused(Exception):  # noqa: N818 - no error: the caller passes these records
    """Records that contain entries which were booked before; nothing was booked."""

    def __init__(self, reasons: Mapping[int, str]) -> None:
        super().__init__(f"{len(reasons)} records are refused")
        self.reasons = reasons
        """By offset: why, in one sentence."""


class Books:
    """Writes entries into one ledger. Not for several threads at a time."""

    def __init__(self, engine: sa.Engine, entries_topic: str) -> None:
        self._engine = engine
        self._topic = entries_topic
        self._accounts: dict[str, int] = {}
        self._sites: dict[str, int] = {}
        """Accounts of sites, by site id."""
        self._newest_sites: dict[int, tuple[pa.StringArray, NDArray[np.int64]]] = {}
        """By partition: the sites of its newest record, and their accounts."""
        self._next_block = self._next_group = 1
        self.entries = 0
        """Number of entries in the ledger."""
        self.repeated = 0
        """Records that had been booked already and were passed."""
        with plain_errors(engine), engine.connect() as connection:
            self._load(connection)

    def _load(self, connection: sa.Connection) -> None:
        for name, id_ in connection.execute(sa.select(ACCOUNTS.c.name, ACCOUNTS.c.account_id)):
            self._remember(name, id_)
        newest = sa.select(sa.func.max(BLOCKS.c.block_id))
        self._next_block = (connection.scalar(newest) or 0) + 1
        of_groups = sa.select(
            sa.func.max(ENTRY_GROUPS.c.group_id), sa.func.sum(ENTRY_GROUPS.c.entries)
        )
        newest_group, entries = connection.execute(of_groups).one()
        self._next_group = (newest_group or 0) + 1
        self.entries = int(entries or 0)

    def _remember(self, name: str, id_: int) -> None:
        self._accounts[name] = id_
        if name.startswith(_SITE_PREFIX):
            self._sites[name.removeprefix(_SITE_PREFIX)] = id_

    def book(self, partition: int, after: int | None, records: Sequence[BlockRecord]) -> None:
        """Book consecutive records of a partition, all or none.

        ``after`` is the offset up to which it is applied, None = nothing is. Raises
        `EntriesRefused`, and `LedgerError` where the database fails or another process has booked
        the partition meanwhile.
        """
        known, repeated = len(self._accounts), self.repeated
        source, last = (self._topic, partition), records[-1]
        try:
            with plain_errors(self._engine), self._engine.begin() as connection:
                advance(connection, source, after, last.offset + 1, mark=last.mark)
                added = self._write(connection, partition, records)
        except BaseException:
            self._forget_after(known)
            self.repeated = repeated
            raise
        self.entries += added

    def finish_days(self) -> None:
        """Add the indexes that were left out while many records waited."""
        with plain_errors(self._engine), self._engine.begin() as connection:
            index_days(connection, days_without_index(connection))

    def sort_a_day(self) -> int | None:
        """Sort a day that is over by site (see `entry_rows.sort_a_day`); None = none is left."""
        with plain_errors(self._engine), self._engine.begin() as connection:
            return sort_a_day(connection)

    def _forget_after(self, known: int) -> None:
        """Forget accounts whose rows were not committed."""
        self._newest_sites.clear()
        for name in list(self._accounts)[known:]:
            del self._accounts[name]
            if name.startswith(_SITE_PREFIX):
                del self._sites[name.removeprefix(_SITE_PREFIX)]

    def _write(
        self, connection: sa.Connection, partition: int, records: Sequence[BlockRecord]
    ) -> int:
        closings = closings_of(connection)
        fresh = self._without_repeats(connection, records)
        booked = BookedGroups(connection, partition, [block for _, block in fresh])
        pending = _Pending()
        refused: dict[int, str] = {}
        added = 0
        for record, block in fresh:
            if rivals := booked.rivals_of(block):
                pending.write(connection)
                twice = entry_booked_before(connection, block, rivals, self._sites)
                if twice is not None:
                    refused[record.offset] = twice
                    continue
            booked.add(self._next_group, block)
            groups = self._group_rows(connection, block, partition, record.offset, closings)
            pending.blocks.append(self._block_row(partition, record))
            pending.groups += groups
            pending.rows.append(self._entry_rows(connection, partition, block))
            added += len(block.amount_micros)
            self._next_block += 1
            self._next_group += len(groups)
        if refused:
            raise EntriesRefused(refused)
        pending.write(connection)
        return added

    def _without_repeats(
        self, connection: sa.Connection, records: Sequence[BlockRecord]
    ) -> list[tuple[BlockRecord, Block]]:
        """The records that are not booked yet, each once, with their blocks."""
        digests = [record.sha256 for record in records if record.block is not None]
        found = sa.select(BLOCKS.c.sha256).where(BLOCKS.c.sha256.in_(digests))
        known = set(connection.scalars(found))
        fresh = []
        for record in records:
            if record.block is None:
                continue
            if record.sha256 in known:
                self.repeated += 1
                continue
            known.add(record.sha256)
            fresh.append((record, record.block))
        return fresh

    def _block_row(self, partition: int, record: BlockRecord) -> dict[str, object]:
        return {
            "block_id": self._next_block,
            "topic_partition": partition,
            "log_offset": record.offset,
            "sha256": record.sha256,
        }

    def _entry_rows(self, connection: sa.Connection, partition: int, block: Block) -> EntryRows:
        site_accounts = self._accounts_of_sites(connection, partition, block.site_ids)
        days = np.array([group.day for group in block.groups])
        return EntryRows(
            block.amount_micros,
            block.energy_wh,
            block.baseline_wh,
            block.delivered_wh,
            block.coverage,
            self._next_group + block.group,
            np.where(block.site == NO_SITE, 0, site_accounts[block.site]),
            days[block.group],
        )

    def _accounts_of_sites(
        self, connection: sa.Connection, partition: int, site_ids: pa.StringArray
    ) -> NDArray[np.int64]:
        """The account of each site. Most records of a partition have the same sites."""
        known_ids, known = self._newest_sites.get(partition, (None, None))
        if known is not None and site_ids.equals(known_ids):
            return known
        names = site_ids.to_pylist()
        missing = [site_id for site_id in names if site_id and site_id not in self._sites]
        self._open(connection, [site_account(site_id) for site_id in missing])
        found = np.array([self._sites.get(site_id, 0) for site_id in names], np.int64)
        self._newest_sites[partition] = site_ids, found
        return found

    def _group_rows(
        self,
        connection: sa.Connection,
        block: Block,
        partition: int,
        offset: int,
        closings: Sequence[Closing],
    ) -> list[dict[str, object]]:
        groups = block.groups
        named = {name for g in groups for name in (g.debit, g.credit)} - {SITE}
        self._open(connection, sorted(named - self._accounts.keys()))
        shared = (
            *("kind", "region", "market", "start_ms", "interval_ms", "program_id", "day"),
            *("program_version", "revision", "reverses", "currency", "price_per_mwh", "share"),
            *("window_revision", "entries", "amount_micros"),
        )
        return [
            {name: getattr(group, name) for name in shared}
            | {
                "group_id": self._next_group + n,
                "block_id": self._next_block,
                "stated_period": group.period,
                "period": booked_period(group.period, partition, offset, closings),
                "debit_id": self._accounts[group.debit] if group.debit != SITE else None,
                "credit_id": self._accounts[group.credit] if group.credit != SITE else None,
            }
            for n, group in enumerate(groups)
        ]

    def _open(self, connection: sa.Connection, names: Sequence[str]) -> None:
        """Add accounts."""
        if not names:
            return
        first = len(self._accounts) + 1
        ids = {name: first + n for n, name in enumerate(names)}
        write_accounts(connection, ids)
        for name, id_ in ids.items():
            self._remember(name, id_)


class _Pending:
    """Rows of a transaction that are not written yet."""

    def __init__(self) -> None:
        self.blocks: list[dict[str, object]] = []
        self.groups: list[dict[str, object]] = []
        self.rows: list[EntryRows] = []

    def write(self, connection: sa.Connection) -> None:
        if not self.blocks:
            return
        connection.execute(sa.insert(BLOCKS), self.blocks)
        connection.execute(sa.insert(ENTRY_GROUPS), self.groups)
        write_rows(connection, joined(self.rows))
        self.blocks, self.groups, self.rows = [], [], []
