"""Decisions about the ledger (topic ``ledger.decisions``): closed months, and payouts to owners.

They are in the log because the ledger's database is built from the log alone: what was closed and
paid, by whom and when, is the same after it was built again.
"""

from typing import Annotated

import msgspec

from schemas.bounds import PARTITIONS, Count, Currency, EpochMs, Id, Offset

Period = Annotated[str, msgspec.Meta(pattern=r"^\d{4}-(0[1-9]|1[0-2])(?!\n)$")]
"""A month in which entries count, ``YYYY-MM``."""
PersonName = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}(?!\n)$")]
"""An operator's name."""
Digest = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}(?!\n)$")]
"""A SHA-256 digest, hexadecimal."""
MinorUnits = Annotated[int, msgspec.Meta(ge=1, le=10**12)]
"""Money in the smallest units of a currency that a bank transfers, for example cents."""
OffsetByPartition = Annotated[
    tuple[Offset, ...], msgspec.Meta(min_length=PARTITIONS, max_length=PARTITIONS)
]
MAX_LINES = 5000
"""Most lines of one record of a payout."""


class PeriodClosed(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="closed"):
    """Topic ``ledger.decisions``, key the period: a month, and all before it, never change again.

    Entries from these offsets on count in the next open month, also those that state this one.
    """

    period: Period
    by: PersonName
    at_ms: EpochMs
    through: Annotated[
        tuple[Offset, ...], msgspec.Meta(min_length=PARTITIONS, max_length=PARTITIONS)
    ]
    """By partition of ``settlement.entries``: the first offset that came too late."""


class PayoutLine(msgspec.Struct, frozen=True, array_like=True):
    """What one site's owner is paid."""

    site_id: Id
    amount_minor: MinorUnits


class PayoutPart(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="part"):
    """Topic ``ledger.decisions``, key ``payout_id:part``: lines of a payout, of one region."""

    payout_id: Id
    part: Count
    """Number of the part, from 0."""
    region: Id
    lines: Annotated[tuple[PayoutLine, ...], msgspec.Meta(min_length=1, max_length=MAX_LINES)]


class PayoutProposed(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="proposed"):
    """Topic ``ledger.decisions``, key ``payout_id``: a proposal to pay; its parts are before it."""

    payout_id: Id
    period: Period
    """The closed month whose balances it pays."""
    currency: Currency
    by: PersonName
    at_ms: EpochMs
    parts: Count
    sites: Count
    total_minor: MinorUnits
    payees_sha256: Digest
    """Digest of the bank accounts that it pays to: an approval is of these accounts."""


class PayoutApproved(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="approved"):
    """Topic ``ledger.decisions``, key ``payout_id:approved``: a second person approves a payout."""

    payout_id: Id
    by: PersonName
    at_ms: EpochMs


LedgerDecision = PeriodClosed | PayoutPart | PayoutProposed | PayoutApproved
