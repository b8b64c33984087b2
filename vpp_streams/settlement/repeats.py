"""Finds entries that were booked before, so that nobody is paid twice whatever is in the log.

A record that is sent again is recognized by its digest. Here are those of other records that repeat
an entry: the same kind, site or region, market, start, program, revision and direction.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import sqlalchemy as sa

from vpp_streams.domain.ledger.blocks import NO_SITE, Block, EntryGroup
from vpp_streams.settlement.entry_rows import index_days
from vpp_streams.settlement.tables import BLOCKS, ENTRIES, ENTRY_GROUPS

_AT_ONCE = 5000
"""Most sites that are compared in one statement; SQLite limits the number of parameters."""
Rivals = Mapping[int, Sequence[int]]
"""Ids of booked groups that may contain the same entries, by the index of a block's group."""


class BookedGroups:
    """Groups in the ledger that may contain the same entries as some records of a partition."""

    def __init__(self, connection: sa.Connection, partition: int, blocks: Sequence[Block]) -> None:
        self._partition = partition
        self._by_name: dict[tuple[object, ...], list[tuple[int, int]]] = defaultdict(list)
        """Group id and partition of each group, by what makes entries the same."""
        starts = {group.start_ms for block in blocks for group in block.groups}
        regions = {block.groups[0].region for block in blocks}
        booked = sa.select(ENTRY_GROUPS, BLOCKS.c.topic_partition).join(BLOCKS)
        for row in connection.execute(
            booked.where(ENTRY_GROUPS.c.start_ms.in_(starts), ENTRY_GROUPS.c.region.in_(regions))
        ):
            self._by_name[_name(row)].append((row.group_id, row.topic_partition))

    def add(self, first_id: int, block: Block) -> None:
        """Add the groups of a block that is booked now; their ids follow each other."""
        for id_, group in enumerate(block.groups, first_id):
            self._by_name[_name(group)].append((id_, self._partition))

    def rivals_of(self, block: Block) -> Rivals:
        """Those that may contain an entry of the block; empty for almost every record.

        A site's entries are all in its own partition, so groups of other partitions count only
        for entries that are no site's.
        """
        without_site = set(block.group[block.site == NO_SITE].tolist())
        found = {
            n: [
                id_
                for id_, partition in self._by_name.get(_name(group), ())
                if partition == self._partition or n in without_site
            ]
            for n, group in enumerate(block.groups)
        }
        return {n: ids for n, ids in found.items() if ids}


def _name(group: EntryGroup | sa.Row[tuple[object, ...]]) -> tuple[object, ...]:
    return (
        *(group.kind, group.region, group.market, group.start_ms, group.program_id),
        *(group.revision, bool(group.reverses)),
    )


def entry_booked_before(
    connection: sa.Connection, block: Block, rivals: Rivals, accounts: Mapping[str, int]
) -> str | None:
    """One sentence that names an entry of the block which a rival group contains; None = none.

    ``accounts`` has the account of each known site.
    """
    index_days(connection, {block.groups[n].day for n in rivals})
    for n, ids in rivals.items():
        group = block.groups[n]
        here = sa.select(ENTRIES.c.site_account).where(
            ENTRIES.c.day == group.day, ENTRIES.c.group_id.in_(ids)
        )
        sites = np.unique(block.site[block.group == n])
        if (
            NO_SITE in sites
            and connection.execute(here.where(ENTRIES.c.site_account.is_(None)).limit(1)).first()
        ):
            return f"the entry of {group.region} was booked before ({_in_words(group)})"
        by_account = {
            accounts[site_id]: site_id
            for site_id in block.site_ids.take(pa.array(sites[sites != NO_SITE])).to_pylist()
            if site_id in accounts
        }
        known = list(by_account)
        for first in range(0, len(known), _AT_ONCE):
            some = known[first : first + _AT_ONCE]
            twice = connection.scalar(here.where(ENTRIES.c.site_account.in_(some)).limit(1))
            if twice is not None:
                return f"the entry of {by_account[twice]} was booked before ({_in_words(group)})"
    return None


def _in_words(group: EntryGroup) -> str:
    direction = ", reversed" if group.reverses else ""
    market = group.market or group.program_id
    return f"{group.kind}, {market}, {group.start_ms}, revision {group.revision}{direction}"
