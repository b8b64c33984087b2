"""Finds entries that were booked before, so that nobody is paid twice whatever is in the log.

A record that is sent again is recognized by its digest. Here are those of other records that repeat
an entry: the same kind, site or region, market, start, program, revision and direction.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
import sqlalchemy as sa

from vpp_streams.domain.ledger.blocks import NO_SITE, Block, EntryGroup
from vpp_streams.settlement.entry_rows import index_days
from vpp_streams.settlement.tables import BLOCKS, ENTRIES, ENTRY_GROUPS

_AT_ONCE = 5000
"""Most sites that are compared in one statement; SQLite limits the number of parameters."""
Rivals = Mapping[int, Sequence[int]]
"""Ids of booked groups that may contain the same entries, by the index of a block's group."""


def rivals_of(connection: sa.Connection, partition: int, block: Block) -> Rivals:
    """Booked groups of the same names; empty for almost every record.

    A site's entries are all in its own partition, so groups of other partitions count only for
    entries that are no site's.
    """
    starts = {group.start_ms for group in block.groups}
    region = block.groups[0].region
    booked = connection.execute(
        sa.select(ENTRY_GROUPS, BLOCKS.c.topic_partition)
        .join(BLOCKS)
        .where(ENTRY_GROUPS.c.start_ms.in_(starts), ENTRY_GROUPS.c.region == region)
    ).all()
    by_name = defaultdict(list)
    for row in booked:
        by_name[_name(row)].append(row)
    without_site = set(block.group[block.site == NO_SITE].tolist())
    found = {
        n: [
            row.group_id
            for row in by_name[_name(group)]
            if row.topic_partition == partition or n in without_site
        ]
        for n, group in enumerate(block.groups)
    }
    return {n: ids for n, ids in found.items() if ids}


def _name(group: EntryGroup | sa.Row[tuple[object, ...]]) -> tuple[object, ...]:
    return (
        *(group.kind, group.market, group.start_ms, group.program_id),
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
            for site_id in (block.site_ids[site] for site in sites if site != NO_SITE)
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
