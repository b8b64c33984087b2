"""The ledger's tables, the same on PostgreSQL and SQLite.

An entry's narrow row has its site, its amount and its measured energy. What the entries of a record
share (the interval, the program, the accounts that are no site's) is one row of ``entry_groups``.
In PostgreSQL entries are partitioned by day.
"""

import sqlalchemy as sa

SCHEMA_VERSION = 1
"""Increased with every change of a table: another version is built again from the log."""

METADATA = sa.MetaData()
_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")  # SQLite's row id must be INTEGER

LEDGER = sa.Table(
    "ledger",
    METADATA,
    sa.Column("schema_version", sa.Integer, nullable=False),
    sa.Column("entries_topic", sa.Text, nullable=False),
)
"""One row: what this database is."""

OFFSETS = sa.Table(
    "offsets",
    METADATA,
    sa.Column("topic", sa.Text, primary_key=True),
    sa.Column("topic_partition", sa.Integer, primary_key=True),
    sa.Column("next_offset", sa.BigInteger, nullable=False),
    sa.Column("mark_timestamp_ms", sa.BigInteger),
    sa.Column("mark_checksum", sa.BigInteger),
)
"""How far the log is applied, changed in the same transaction as what was applied. The mark is of
the last record: it shows whether the log is still the same."""

ACCOUNTS = sa.Table(
    "accounts",
    METADATA,
    sa.Column("account_id", _ID, primary_key=True, autoincrement=False),
    sa.Column("name", sa.Text, nullable=False, unique=True),
)

BLOCKS = sa.Table(
    "blocks",
    METADATA,
    sa.Column("block_id", _ID, primary_key=True, autoincrement=False),
    sa.Column("topic_partition", sa.Integer, nullable=False),
    sa.Column("log_offset", sa.BigInteger, nullable=False),
    sa.Column("sha256", sa.Text, nullable=False, unique=True),
    sa.UniqueConstraint("topic_partition", "log_offset"),
)
"""The records of entries that were booked; the digest recognizes a record that was sent again."""

ENTRY_GROUPS = sa.Table(
    "entry_groups",
    METADATA,
    sa.Column("group_id", _ID, primary_key=True, autoincrement=False),
    sa.Column("block_id", _ID, sa.ForeignKey("blocks.block_id"), nullable=False),
    sa.Column("day", sa.Integer, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("region", sa.Text, nullable=False),
    sa.Column("market", sa.Text, nullable=False),
    sa.Column("start_ms", sa.BigInteger, nullable=False),
    sa.Column("interval_ms", sa.BigInteger, nullable=False),
    sa.Column("program_id", sa.Text, nullable=False),
    sa.Column("program_version", sa.Integer, nullable=False),
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("reverses", sa.Boolean, nullable=False),
    sa.Column("period", sa.Text, nullable=False),
    sa.Column("stated_period", sa.Text, nullable=False),
    sa.Column("debit_id", _ID),
    sa.Column("credit_id", _ID),
    sa.Column("currency", sa.Text, nullable=False),
    sa.Column("price_per_mwh", sa.Double),
    sa.Column("share", sa.Double),
    sa.Column("window_revision", sa.Integer, nullable=False),
    sa.Column("entries", sa.Integer, nullable=False),
    sa.Column("amount_micros", sa.BigInteger, nullable=False),
    sa.Index("entry_groups_interval", "start_ms", "region", "market"),
    sa.Index("entry_groups_period", "period"),
)
"""What entries have in common. ``debit_id`` or ``credit_id`` null = the account of the entry's own
site. ``period`` is the month in which they count; ``stated_period`` the one that the record names,
which differs if that month had been closed. ``entries`` and ``amount_micros`` are their number
and sum, as they were when the record was booked."""

ENTRIES = sa.Table(
    "entries",
    METADATA,
    # The widest first: PostgreSQL aligns columns, and a row of another order is larger.
    sa.Column("amount_micros", sa.BigInteger, nullable=False),
    sa.Column("energy_wh", sa.Double),
    sa.Column("baseline_wh", sa.Double),
    sa.Column("delivered_wh", sa.Double),
    sa.Column("coverage", sa.Double, nullable=False),
    sa.Column("group_id", sa.Integer, nullable=False),
    sa.Column("site_account", sa.Integer),
    sa.Column("day", sa.Integer, nullable=False),
    postgresql_partition_by="RANGE (day)",
)
"""One transfer each. ``site_account`` is the account of the entry's site, null = no site's. What
was not measured is null or NaN."""

PERIODS = sa.Table(
    "periods",
    METADATA,
    sa.Column("period", sa.Text, primary_key=True),
    sa.Column("closed_by", sa.Text, nullable=False),
    sa.Column("closed_at_ms", sa.BigInteger, nullable=False),
    sa.Column("through", sa.Text, nullable=False),
)
"""Closed months. ``through``: offsets by partition, separated by spaces, from which on entries
came too late."""

BALANCES = sa.Table(
    "balances",
    METADATA,
    sa.Column("period", sa.Text, primary_key=True),
    sa.Column("account_id", _ID, primary_key=True),
    sa.Column("currency", sa.Text, primary_key=True),
    sa.Column("balance_micros", sa.BigInteger, nullable=False),
)
"""Balances (credits less debits) at the end of each closed month."""

PAYOUTS = sa.Table(
    "payouts",
    METADATA,
    sa.Column("payout_id", sa.Text, primary_key=True),
    sa.Column("period", sa.Text, nullable=False),
    sa.Column("currency", sa.Text, nullable=False),
    sa.Column("proposed_by", sa.Text, nullable=False),
    sa.Column("proposed_at_ms", sa.BigInteger, nullable=False),
    sa.Column("sites", sa.Integer, nullable=False),
    sa.Column("total_minor", sa.BigInteger, nullable=False),
    sa.Column("payees_sha256", sa.Text, nullable=False),
    sa.Column("approved_by", sa.Text),
    sa.Column("approved_at_ms", sa.BigInteger),
)

PAYOUT_LINES = sa.Table(
    "payout_lines",
    METADATA,
    sa.Column("payout_id", sa.Text, primary_key=True),
    sa.Column("site_id", sa.Text, primary_key=True),
    sa.Column("part", sa.Integer, nullable=False),
    sa.Column("region", sa.Text, nullable=False),
    sa.Column("amount_minor", sa.BigInteger, nullable=False),
)
