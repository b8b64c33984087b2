"""What a market takes of an offer at given prices (a price taker's view)."""

from collections.abc import Mapping

from schemas.market import Award, Bid, CapacityOffer, EnergyOffer, Product
from vpp_streams.domain.market.rules import MarketRules

W_PER_MW = 1e6
UP: frozenset[Product] = frozenset({"reg_up", "reserve"})
"""Capacity that is called upwards; it shares the headroom with energy that is sold."""


def cleared_power_w(offer: EnergyOffer, price: float) -> float:
    """The power of an energy offer at a clearing price (see `EnergyOffer`)."""
    power_w = offer.below_w
    for step in offer.steps:
        if step.price > price:
            break
        power_w = step.power_w
    return power_w


def cleared_capacity_w(
    offers: tuple[CapacityOffer, ...], prices: Mapping[Product, float]
) -> dict[Product, float]:
    """Each capacity offer by its own price; what has no price is not traded."""
    return {
        offer.product: offer.power_w
        for offer in offers
        if offer.power_w > 0 and prices.get(offer.product, float("-inf")) >= offer.price
    }


def clear_offer(
    bid: Bid, prices: Mapping[Product, float], rules: MarketRules
) -> tuple[float, dict[Product, float]]:
    """Power of energy and of each capacity that is taken of a bid at these prices, W."""
    wanted = cleared_capacity_w(bid.capacity, prices)
    if not rules.co_optimised or not wanted:
        return cleared_power_w(bid.energy, prices["energy"]), wanted
    return _together(bid, prices, wanted)


def award_of(
    bid: Bid, prices: Mapping[Product, float], rules: MarketRules, cleared_at_ms: int
) -> Award:
    """The award of a bid at these prices."""
    energy_w, capacity_w = clear_offer(bid, prices, rules)
    return Award(
        bid_id=bid.bid_id,
        market=bid.market,
        region=bid.region,
        start_ms=bid.start_ms,
        interval_ms=bid.interval_ms,
        cleared_at_ms=cleared_at_ms,
        energy_w=energy_w,
        prices=dict(prices),
        capacity_w=capacity_w,
        currency=bid.currency,
        metered_at=bid.metered_at,
    )


def impact_price(offer: EnergyOffer, price: float, per_mw: float) -> float:
    """The price after our own offer has moved it: each MW sold lowers it by ``per_mw``.

    The offer's power rises and the price it leaves falls with power, so they meet once. Where
    they meet within a step, the step's price is the market's, as it is for any marginal offer.
    """
    power_w = offer.below_w
    for step in offer.steps:
        left = price - per_mw * power_w / W_PER_MW
        if left < step.price:
            return left
        power_w = step.power_w
        if price - per_mw * power_w / W_PER_MW < step.price:
            return step.price
    return price - per_mw * power_w / W_PER_MW


def _together(
    bid: Bid, prices: Mapping[Product, float], wanted: dict[Product, float]
) -> tuple[float, dict[Product, float]]:
    """The best for the bidder by its own offers: one concave function of the energy's power.

    It bends where a step ends and where energy begins to take room that capacity wants, so the
    best is at one of these points.
    """
    up_w = sum(power for product, power in wanted.items() if product in UP)
    down_w = sum(power for product, power in wanted.items() if product not in UP)
    steps = [bid.energy.below_w, *(step.power_w for step in bid.energy.steps)]
    least, most = min(steps), max(steps)
    bends = {bid.up_w - up_w, -(bid.down_w - down_w)}
    bends.update(bid.up_w - power for product, power in wanted.items() if product in UP)
    candidates = steps + [min(max(bend, least), most) for bend in bends]
    offered = {offer.product: offer.price for offer in bid.capacity}
    best: tuple[float, float, dict[Product, float]] | None = None
    for power_w in candidates:
        taken = _capacity_beside(bid, power_w, prices, wanted)
        gain = _surplus(bid.energy, power_w, prices["energy"])
        gain += sum((prices[product] - offered[product]) * w for product, w in taken.items())
        if best is None or gain > best[0] + 1e-9 * abs(best[0]):
            best = (gain, power_w, taken)
    assert best is not None  # there is at least the offer's lowest step
    return best[1], best[2]


def _capacity_beside(
    bid: Bid, power_w: float, prices: Mapping[Product, float], wanted: dict[Product, float]
) -> dict[Product, float]:
    """Capacity that has room beside the energy's power, the dearest first."""
    room = {True: max(bid.up_w - power_w, 0.0), False: max(bid.down_w + power_w, 0.0)}
    taken: dict[Product, float] = {}
    for product in sorted(wanted, key=lambda product: (-prices[product], product)):
        upwards = product in UP
        if (power := min(wanted[product], room[upwards])) > 0:
            taken[product] = power
            room[upwards] -= power
    return taken


def _surplus(offer: EnergyOffer, power_w: float, price: float) -> float:
    """What the bidder gains by energy, by its own offer, in money per hour times W_PER_MW."""
    gain, reached = 0.0, offer.below_w
    for step in offer.steps:
        until = min(max(power_w, reached), step.power_w)
        gain += (price - step.price) * (until - reached)
        reached = max(reached, step.power_w)
    return gain
