"""The ledger on a terminal."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from vpp_streams.domain.ledger.pain001 import amount_text

if TYPE_CHECKING:
    from vpp_streams.settlement.deciding import ProposedPayout
    from vpp_streams.settlement.queries import RegionDay


def units(micros: int, currency: str) -> str:
    """Micros as units of the currency, all six decimals."""
    return f"{amount_text(micros, 6)} {currency}"


def balance_lines(name: str, balances: Mapping[str, int]) -> str:
    """An account's balance in each currency."""
    return "\n".join(f"{name}  {units(micros, c)}" for c, micros in balances.items())


def region_table(region: str, days: "Sequence[RegionDay]") -> str:
    """A region's sums by day and kind."""
    if not days:
        return f"nothing was booked in {region}"
    return "\n".join(
        f"{date(1970, 1, 1) + timedelta(days=d.day)}  {d.kind:<12}"
        f"  {units(d.micros, d.currency):>24}  {d.entries:>10,} entries"
        for d in days
    )


def _moment(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d %H:%M} UTC"


def period_lines(periods: Sequence[Any]) -> str:
    """Closed months, with who closed them."""
    if not periods:
        return "no month is closed"
    return "\n".join(
        f"{p.period}  closed by {p.closed_by}, {_moment(p.closed_at_ms)}" for p in periods
    )


def payout_lines(payouts: Sequence[Any]) -> str:
    """Payouts and their states."""
    return "\n".join(map(_payout_line, payouts)) or "there is no payout"


def _payout_line(payout: Any) -> str:
    state = (
        "waits for a second person"
        if payout.approved_by is None
        else f"approved by {payout.approved_by}, {_moment(payout.approved_at_ms)}"
    )
    return (
        f"{payout.payout_id}  {payout.sites} sites,"
        f" {minor_units(payout.total_minor, payout.currency)}, proposed by {payout.proposed_by},"
        f" {state}"
    )


def minor_units(amount_minor: int, currency: str) -> str:
    """Minor units as units of the currency."""
    from vpp_streams.settlement.payouts import decimals_of

    return f"{amount_text(amount_minor, decimals_of(currency))} {currency}"


def proposal_lines(proposed: "ProposedPayout") -> str:
    """What was proposed, what was left out, and what comes next."""
    p = proposed.proposal
    lines = [f"{p.payout_id}: {p.sites} sites, {minor_units(p.total_minor, p.currency)}"]
    if left := proposed.without_account:
        total = minor_units(sum(left.values()), p.currency)
        lines.append(f"left out, without a bank account: {len(left)} sites, {total}")
    if not proposed.applied:
        lines.append("`vpp settlement run` has not read it yet")
    lines.append(f"a second person approves it: vpp payout approve {p.payout_id}")
    return "\n".join(lines)
