"""Entries of the ledger (topic ``settlement.entries``): who owes whom how much, and why.

Money is an integer of *micros*, 10^-6 of the currency's unit: the share of one home in five minutes
is often less than a cent. An entry is one transfer from the debited to the credited account, so
every set of entries balances. A site's credit is what its owner is owed.
"""

from typing import Literal, get_args

import pyarrow as pa

ENTRIES_SCHEMA_NAME = "settlement_entry.v1"

EntryKind = Literal["market", "share", "operator", "energy", "event", "availability", "payout"]
"""``market``: what a market settles for a region's interval (market account and ``revenue``).
``share``: an owner's share of that revenue. ``operator``: the rest of it.
``energy``, ``event``, ``availability``: a program's payments by the operator, per delivered kWh,
per event, and per available kW. ``payout``: from a site's account to its owner's bank account."""
ENTRY_KINDS: tuple[EntryKind, ...] = get_args(EntryKind)

OPERATOR = "operator"
"""Account of the operator of the virtual power plant."""
BANK = "bank"
"""Account that payouts are credited to."""
MAX_MICROS = 10**15
"""Largest amount of an entry: 10^9 units of the currency."""
MICROS = 1_000_000
"""Micros of one unit of a currency."""


def market_account(market: str) -> str:
    """Account of a market, which pays for deliveries."""
    return f"market:{market}"


def revenue_account(market: str, region: str) -> str:
    """Account of a region's revenue: its balance is 0 once an interval is divided."""
    return f"revenue:{market}:{region}"


def site_account(site_id: str) -> str:
    """Account of a site's owner; its balance (credits less debits) is what the owner is owed."""
    return f"site:{site_id}"


_NAMES = pa.dictionary(pa.int32(), pa.string())
"""Names that many rows of a record share."""


def _field(name: str, dtype: pa.DataType, doc: str) -> pa.Field:
    return pa.field(name, dtype, nullable=False, metadata={"doc": doc})


SETTLEMENT_ENTRY_V1 = pa.schema(
    [
        _field("kind", _NAMES, "one of " + ", ".join(ENTRY_KINDS)),
        _field("site_id", pa.string(), "site whose account it moves; empty = no site's"),
        _field("region", _NAMES, "grid or market area"),
        _field("market", _NAMES, "market of the award; empty where a program alone pays"),
        _field("start_ms", pa.int64(), "start of the market interval, event or month, UTC"),
        _field("interval_ms", pa.int64(), "its length"),
        _field("program_id", _NAMES, "the site's program; empty = none"),
        _field("program_version", pa.int32(), "version of its terms; 0 = no program"),
        _field(
            "revision",
            pa.int32(),
            "0 = first settlement of the interval; a reversal has that of the entry it reverses",
        ),
        _field("reverses", pa.bool_(), "takes back the entry that has the same other names"),
        _field(
            "period",
            _NAMES,
            "month in which it counts, YYYY-MM in local time; if the month of start_ms was closed,"
            " the first one that was not",
        ),
        _field("debit", pa.string(), "account that gives"),
        _field("credit", pa.string(), "account that receives"),
        _field("amount_micros", pa.int64(), "10^-6 of the currency's unit, >= 0"),
        _field("currency", _NAMES, "ISO 4217"),
        _field("energy_wh", pa.float64(), "measured at the connection, + = export; NaN = not"),
        _field("baseline_wh", pa.float64(), "the same without the dispatch; NaN = not known"),
        _field(
            "delivered_wh",
            pa.float64(),
            "what counts: energy beyond the baseline, + = export; of availability: power times"
            " available hours; NaN = not measured, which is paid nothing",
        ),
        _field("coverage", pa.float64(), "measured share of the interval, 0..1"),
        _field(
            "price_per_mwh",
            pa.float64(),
            "clearing price, or a program's price per MWh (of availability: per MW and hour);"
            " NaN = no single price",
        ),
        _field("share", pa.float64(), "owner's share of revenue, 0..1; NaN = paid by rate"),
        _field("window_revision", pa.int32(), "sum of the revisions of the windows; -1 = none"),
    ],
    metadata={"schema": ENTRIES_SCHEMA_NAME},
)
"""A record's rows: one Arrow IPC stream of one record batch. All rows have the same region.

Rows of one (market, region, interval) may be divided over records by the partition of their sites.
"""


def entry_id(row: dict[str, object]) -> str:
    """An entry's name, from the row's own columns: the same input gives the same name.

    ``kind|site or region|market|start_ms|program|revision``, and ``|reversed`` for a reversal. An
    entry is reversed at most once, so the name is unique.
    """
    subject = row["site_id"] or row["region"]
    words = [row["kind"], subject, row["market"], row["start_ms"], row["program_id"]]
    name = "|".join(map(str, [*words, row["revision"]]))
    return f"{name}|reversed" if row["reverses"] else name
