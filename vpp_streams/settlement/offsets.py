"""How far the log is applied, in the database itself."""

from dataclasses import dataclass

import sqlalchemy as sa

from vpp_streams.domain.fleet.columnar import Mark
from vpp_streams.errors import LedgerError
from vpp_streams.settlement.tables import OFFSETS


@dataclass(frozen=True, slots=True)
class Applied:
    """How far a partition of a topic is applied."""

    next_offset: int
    mark: Mark | None
    """Of the record before it."""


def applied_offsets(connection: sa.Connection) -> dict[tuple[str, int], Applied]:
    """What is applied, by topic and partition; one of which nothing is has no key."""
    return {
        (row.topic, row.topic_partition): Applied(
            row.next_offset, Mark(row.mark_timestamp_ms, row.mark_checksum)
        )
        for row in connection.execute(sa.select(OFFSETS))
    }


def advance(
    connection: sa.Connection, source: tuple[str, int], after: int | None, to: int, *, mark: Mark
) -> None:
    """Move a partition from what is applied (None = nothing) to a new offset.

    Raises `LedgerError` where it is not there: another process has booked meanwhile.
    """
    values = {
        "next_offset": to,
        "mark_timestamp_ms": mark.timestamp_ms,
        "mark_checksum": mark.checksum,
    }
    topic, partition = source
    if after is None:
        key = {"topic": topic, "topic_partition": partition}
        try:
            connection.execute(sa.insert(OFFSETS).values(**key, **values))
        except sa.exc.IntegrityError:
            raise _another(topic, partition) from None
        return
    moved = connection.execute(
        sa.update(OFFSETS)
        .where(OFFSETS.c.topic == topic, OFFSETS.c.topic_partition == partition)
        .where(OFFSETS.c.next_offset == after)
        .values(**values)
    )
    if moved.rowcount != 1:
        raise _another(topic, partition)


def _another(topic: str, partition: int) -> LedgerError:
    return LedgerError(
        f"another process has booked {topic} [{partition}] into this ledger; let one"
        " `vpp settlement run` do it, and start this one again only if the other has ended"
    )
