"""Payouts: what an owner is paid of a balance, and what makes a payout valid.

A bank transfers minor units (cents); the ledger counts micros. A payout is the balance rounded down
to minor units, and the rest stays on the account until it is a minor unit.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from schemas.ledger import MAX_LINES, PayoutLine, PayoutPart
from schemas.settlement import MICROS


@dataclass(frozen=True, slots=True, order=True)
class Payee:
    """The bank account of a site's owner."""

    site_id: str
    name: str
    iban: str
    """Electronic form, without spaces."""


def micros_per_minor(decimals: int) -> int:
    """Micros in the minor unit of a currency with so many decimals (EUR 2, JPY 0)."""
    return MICROS // int(10**decimals)


def payable_minor(balance_micros: int, decimals: int) -> int:
    """Minor units to pay of a balance: rounded down, 0 where nothing is owed."""
    return max(balance_micros, 0) // micros_per_minor(decimals)


def payees_digest(payees: Iterable[Payee]) -> str:
    """Digest of bank accounts, whatever their order: what a second person approves."""
    lines = (f"{p.site_id}\t{p.name}\t{p.iban}\n" for p in sorted(payees))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def parts_of(
    payout_id: str, amounts: Mapping[str, int], regions: Mapping[str, str]
) -> list[PayoutPart]:
    """A payout's lines as records, by region and in the order of sites; amounts of 0 are left out.

    ``amounts`` are minor units by site; ``regions`` has the region of each of these sites.
    """
    by_region: dict[str, list[PayoutLine]] = {}
    for site_id in sorted(amounts):
        if amounts[site_id]:
            line = PayoutLine(site_id, amounts[site_id])
            by_region.setdefault(regions[site_id], []).append(line)
    slices = [
        (region, lines[first : first + MAX_LINES])
        for region, lines in sorted(by_region.items())
        for first in range(0, len(lines), MAX_LINES)
    ]
    return [
        PayoutPart(payout_id=payout_id, part=n, region=region, lines=tuple(lines))
        for n, (region, lines) in enumerate(slices)
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A payout as it was proposed."""

    payout_id: str
    period: str
    currency: str
    proposed_by: str
    decimals: int
    lines: Mapping[str, int]
    """Minor units by site."""


def fault_of_approval(
    proposal: Proposal,
    by: str,
    *,
    newest_closed: str | None,
    approved: Sequence[str],
    balances_micros: Mapping[str, int],
) -> str | None:
    """Why a person may not approve a payout, in one sentence; None = approved.

    ``approved`` are the payouts of this month and currency that were approved before, and
    ``balances_micros`` the sites' balances at its end.
    """
    if by == proposal.proposed_by:
        return f"{by} has proposed this payout; a second person has to approve it"
    if approved:
        return f"{approved[0]} has paid {proposal.period} in {proposal.currency} already"
    if proposal.period != newest_closed:
        return f"{proposal.period} is not the month that was closed last ({newest_closed})"
    for site_id, amount_minor in proposal.lines.items():
        owed_minor = payable_minor(balances_micros.get(site_id, 0), proposal.decimals)
        if amount_minor > owed_minor:
            return (
                f"{site_id} would be paid {amount_minor} minor units of {proposal.currency},"
                f" and is owed {owed_minor}"
            )
    return None
