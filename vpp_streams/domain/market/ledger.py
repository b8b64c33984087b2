"""Commitments: an interval has one bid, and no kWh is sold twice.

A fold of topics ``market.bids`` and ``market.awards``; the order between the two does not matter.
"""

from collections.abc import Iterable

from schemas.market import Award, Bid, EnergyOffer, Refusal, Step
from vpp_streams.domain.market.rules import Storage
from vpp_streams.domain.moments import HOUR_MS


def bid_id(market: str, region: str, start_ms: int) -> str:
    """The id of the one bid that a region has for an interval of a market."""
    return f"{market}:{region}:{start_ms}"


class Ledger:
    """Offers and sales of the intervals that are kept."""

    def __init__(self) -> None:
        self._bids: dict[str, Bid] = {}
        self._outcomes: dict[str, Award | Refusal] = {}

    def __contains__(self, id_: str) -> bool:
        """Whether a bid of this id was made."""
        return id_ in self._bids or id_ in self._outcomes

    def bid(self, bid: Bid) -> None:
        """Apply a bid; the first of an id stands."""
        self._bids.setdefault(bid.bid_id, bid)

    def outcome(self, outcome: Award | Refusal) -> None:
        """Apply the outcome of a bid; the first of an id stands."""
        self._outcomes.setdefault(outcome.bid_id, outcome)

    def commitments(self, market: str, region: str, now_ms: int) -> tuple[Award, ...]:
        """A region's sales in intervals that are not over, in order.

        A bid without an outcome counts as accepted in full, without a price.
        """
        outcomes = self._outcomes
        waiting = (_in_full(bid) for id_, bid in self._bids.items() if id_ not in outcomes)
        awards = [o for o in outcomes.values() if isinstance(o, Award)]
        mine = (
            award
            for award in (*awards, *waiting)
            if (award.market, award.region) == (market, region) and ends_ms(award) > now_ms
        )
        return tuple(sorted(mine, key=lambda award: award.start_ms))

    def forget(self, before_ms: int) -> None:
        """Drop intervals that began before a time."""
        self._bids = {k: b for k, b in self._bids.items() if b.start_ms >= before_ms}
        self._outcomes = {
            id_: outcome
            for id_, outcome in self._outcomes.items()
            if (outcome.start_ms if isinstance(outcome, Award) else outcome.at_ms) >= before_ms
        }


def ends_ms(award: Award) -> int:
    """The end of an award's interval."""
    return award.start_ms + award.interval_ms


def stored_at(
    at_ms: int, now_ms: int, storage: Storage, stored_wh: float, awards: Iterable[Award]
) -> float:
    """Energy above the reserves at a later time, Wh, once the awards until then are delivered."""
    for award in sorted(awards, key=lambda award: award.start_ms):
        left_ms = min(ends_ms(award), at_ms) - max(award.start_ms, now_ms)
        power_w = award.energy_w
        rate = (
            power_w / storage.discharge_efficiency
            if power_w > 0
            else power_w * storage.charge_efficiency
        )
        stored_wh -= rate * max(left_ms, 0) / HOUR_MS
        stored_wh = min(max(stored_wh, 0.0), storage.energy_wh)
    return stored_wh


def uncommitted_w(
    bid: Bid, now_ms: int, storage: Storage, stored_wh: float, awards: Iterable[Award]
) -> tuple[float, float]:
    """Least and most power, W, that is feasible in a bid's interval after earlier awards."""
    earlier = [award for award in awards if award.start_ms < bid.start_ms]
    then_wh = stored_at(bid.start_ms, now_ms, storage, stored_wh, earlier)
    hours = bid.interval_ms / HOUR_MS
    room_wh = max(storage.energy_wh - then_wh, 0.0)
    return (
        -min(storage.charge_w, room_wh / storage.charge_efficiency / hours),
        min(storage.discharge_w, then_wh * storage.discharge_efficiency / hours),
    )


def held_within(offer: EnergyOffer, least_w: float, most_w: float) -> EnergyOffer:
    """The offer with its powers cut to limits, without steps that then add nothing."""

    def cut(power_w: float) -> float:
        return min(max(power_w, least_w), most_w)

    steps: list[Step] = []
    before_w = below_w = cut(offer.below_w)
    for step in offer.steps:
        power_w = cut(step.power_w)
        if power_w != before_w:
            steps.append(Step(step.price, power_w))
        before_w = power_w
    return EnergyOffer(below_w, tuple(steps))


def _in_full(bid: Bid) -> Award:
    """As if all that a bid would have the batteries sell (else buy) were taken."""
    most_w = bid.energy.steps[-1].power_w if bid.energy.steps else bid.energy.below_w
    sells = most_w + (bid.net_load_w or 0.0) > 0
    return Award(
        bid_id=bid.bid_id,
        market=bid.market,
        region=bid.region,
        start_ms=bid.start_ms,
        interval_ms=bid.interval_ms,
        cleared_at_ms=bid.gate_ms,
        energy_w=most_w if sells else bid.energy.below_w,
        prices={},
        capacity_w={offer.product: offer.power_w for offer in bid.capacity},
        currency=bid.currency,
        metered_at=bid.metered_at,
    )
