"""Writes rows of entries as fast as a database takes them.

PostgreSQL gets them by COPY in its binary format, straight into the partition of their day. That
partition has no index while a long log is being booked: `index_days` adds it, which is faster for
many rows than to keep it up to date with each.
"""

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from vpp_streams.settlement.tables import ACCOUNTS

_NAMES = (
    *("amount_micros", "energy_wh", "baseline_wh", "delivered_wh", "coverage"),
    *("group_id", "site_account", "day"),
)


@dataclass(frozen=True, slots=True)
class EntryRows:
    """Rows of table ``entries``, by column."""

    amount_micros: NDArray[np.int64]
    energy_wh: NDArray[np.float64]
    baseline_wh: NDArray[np.float64]
    delivered_wh: NDArray[np.float64]
    coverage: NDArray[np.float64]
    group_id: NDArray[np.int64]
    site_account: NDArray[np.int64]
    """0 = no site's, which is null in the database."""
    day: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.amount_micros)

    def of(self, rows: NDArray[np.bool_]) -> "EntryRows":
        """Some of the rows."""
        return EntryRows(*(getattr(self, field.name)[rows] for field in fields(self)))


def joined(parts: Sequence[EntryRows]) -> EntryRows:
    """The rows of several."""
    return EntryRows(
        *(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(EntryRows))
    )


def write_accounts(connection: sa.Connection, ids: Mapping[str, int]) -> None:
    """Add accounts, by name; a fleet that is new has one for each site."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(
            "INSERT INTO accounts (account_id, name)"
            " SELECT * FROM unnest(%s::bigint[], %s::text[])",
            (list(ids.values()), list(ids)),
        )
        return
    rows = [{"account_id": id_, "name": name} for name, id_ in ids.items()]
    connection.execute(sa.insert(ACCOUNTS), rows)


def write_rows(connection: sa.Connection, rows: EntryRows) -> None:
    """Add rows, in the connection's transaction."""
    if not len(rows):
        return
    if connection.dialect.name == "postgresql":
        for day in np.unique(rows.day):
            create_partition(connection, int(day))
            of_day = rows.of(rows.day == day)
            without_site = of_day.site_account == 0
            _copy(connection, int(day), of_day.of(~without_site), with_site=True)
            _copy(connection, int(day), of_day.of(without_site), with_site=False)
        return
    columns = [getattr(rows, name).tolist() for name in _NAMES]
    columns[_NAMES.index("site_account")] = [a or None for a in rows.site_account.tolist()]
    places = ", ".join("?" * len(_NAMES))
    connection.exec_driver_sql(
        f"INSERT INTO entries ({', '.join(_NAMES)}) VALUES ({places})",
        list(zip(*columns, strict=True)),
    )


_WIRE = {
    **dict.fromkeys(("energy_wh", "baseline_wh", "delivered_wh", "coverage"), ">f8"),
    **dict.fromkeys(("group_id", "site_account", "day"), ">i4"),
    "amount_micros": ">i8",
}
_HEAD = b"PGCOPY\n\xff\r\n\0" + struct.pack(">ii", 0, 0)
_END = struct.pack(">h", -1)


def _copy(connection: sa.Connection, day: int, rows: EntryRows, *, with_site: bool) -> None:
    """COPY rows into the partition of a day: each is a count of fields, then length and value."""
    if not len(rows):
        return
    names = [name for name in _NAMES if with_site or name != "site_account"]
    layout = [("fields", ">i2")]
    for name in names:
        layout += [(f"{name}_length", ">i4"), (name, _WIRE[name])]
    wire = np.empty(len(rows), np.dtype(layout))
    wire["fields"] = len(names)
    for name in names:
        wire[f"{name}_length"] = wire.dtype[name].itemsize
        wire[name] = getattr(rows, name)
    driver = connection.connection.driver_connection
    assert driver is not None  # it is open: the transaction runs in it
    statement = f"COPY {_partition(day)} ({', '.join(names)}) FROM STDIN (FORMAT BINARY)"
    with driver.cursor() as cursor, cursor.copy(statement) as copy:
        copy.write(_HEAD)
        copy.write(wire.tobytes())
        copy.write(_END)


def _partition(day: int) -> str:
    return f"entries_{day}"


def create_partition(connection: sa.Connection, day: int) -> None:
    """Create the partition of a day, if it does not exist."""
    connection.execute(
        sa.text(
            f"CREATE TABLE IF NOT EXISTS {_partition(day)} PARTITION OF entries"
            f" FOR VALUES FROM ({day}) TO ({day + 1})"
        )
    )


def index_days(connection: sa.Connection, days: Iterable[int]) -> None:
    """Add the index by site to the partitions of these days, where it is missing."""
    if connection.dialect.name != "postgresql":
        return  # the one table has it from the start
    for day in days:
        name = _partition(day)
        connection.execute(
            sa.text(f"CREATE INDEX IF NOT EXISTS {name}_site ON {name} (site_account)")
        )


def days_without_index(connection: sa.Connection) -> list[int]:
    """Days whose partitions have no index yet."""
    if connection.dialect.name != "postgresql":
        return []
    found = connection.execute(
        sa.text(
            "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
            " WHERE i.inhparent = 'entries'::regclass AND NOT c.relhasindex"
        )
    )
    return sorted(int(name.removeprefix("entries_")) for (name,) in found)


def sort_a_day(connection: sa.Connection) -> int | None:
    """Sort the rows of the oldest day that is over and not sorted yet by site; returns that day.

    Rows are written interval by interval, so a site's are all over the day's partition: its month
    would be read from thousands of pages. A day is over when entries of the day after the next
    exist. Nobody reads the day meanwhile. None = no day is left.
    """
    if connection.dialect.name != "postgresql":
        return None
    found = connection.execute(
        sa.text(
            "SELECT c.relname, bool_or(coalesce(x.indisclustered, false)) FROM pg_inherits i"
            " JOIN pg_class c ON c.oid = i.inhrelid LEFT JOIN pg_index x ON x.indrelid = c.oid"
            " WHERE i.inhparent = 'entries'::regclass GROUP BY c.relname"
        )
    )
    sorted_ = {int(name.removeprefix("entries_")): is_sorted for name, is_sorted in found}
    days = [day for day, is_sorted in sorted_.items() if not is_sorted and day <= max(sorted_) - 2]
    if not days:
        return None
    day = min(days)
    index_days(connection, [day])
    connection.execute(sa.text(f"CLUSTER {_partition(day)} USING {_partition(day)}_site"))
    return day
