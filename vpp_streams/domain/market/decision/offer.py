"""Step 6: the bid, from what stored energy is worth, with the planned capacity beside it."""

import msgspec

from schemas.market import Bid, EnergyOffer, OfferedBy, Product
from vpp_streams.domain.arrays import Floats
from vpp_streams.domain.market.bids import capacity_offers, energy_offer
from vpp_streams.domain.market.clearing import cleared_power_w
from vpp_streams.domain.market.decision.at_connection import at_connection
from vpp_streams.domain.market.decision.fallback import idle_bid
from vpp_streams.domain.market.decision.outlook import Outlook
from vpp_streams.domain.market.decision.plan_view import rounded
from vpp_streams.domain.market.decision.position import (
    Position,
    Room,
    both_ways,
    offered_bounds,
    unsold_room,
)
from vpp_streams.domain.market.decision.prices_ahead import PricesAhead
from vpp_streams.domain.market.decision.quiet_days import QuietDay
from vpp_streams.domain.market.decision.quiet_offer import quiet_offer
from vpp_streams.domain.market.plan.problem import Plan
from vpp_streams.domain.market.value import W_PER_MW, ValueTable

SHOWN_STEPS = 36
"""Planned steps that a bid carries for people to see."""


def offer_bid(
    position: Position,
    outlook: Outlook,
    ahead: PricesAhead,
    plan: Plan | None,
    quiet: QuietDay | None,
) -> Bid:
    """The bid's energy offer and capacity offers, and the figures that explain them.

    ``quiet`` is what the energy offer follows; None = what stored energy is worth.
    """
    inputs, rules, storage = position.inputs, position.inputs.rules, position.storage
    room = unsold_room(position)
    wanted = _capacity_wanted(position, plan)
    # Where the market does not pick both together, capacity must have its room kept free.
    apart = Room(0.0, 0.0) if rules.co_optimised else both_ways(wanted)
    step = (inputs.start_ms - outlook.made_for_ms) // rules.interval_ms
    chances, price = ahead.chances[0], float(ahead.mean[0])
    least_w, most_w = offered_bounds(
        position, min(apart.down_w - room.down_w, 0.0), max(room.up_w - apart.up_w, 0.0)
    )
    free = Room(most_w, -least_w)
    by_chain = _by_chain(position, free, outlook.table, step, chances)
    offer, offered_by = _energy(position, free, by_chain, quiet)
    decided = msgspec.structs.replace(
        idle_bid(inputs, ()),
        energy=offer,
        offered_by=offered_by,
        capacity=capacity_offers(
            wanted,
            offer,
            position.stored_wh,
            worth_per_mwh=outlook.table.per_mwh(step, position.stored_wh, chances),
            price=price,
            storage=storage,
            rules=rules,
        ),
        expected_w=cleared_power_w(offer, price),
        up_w=room.up_w,
        down_w=room.down_w,
        **_explanation(position, price, plan),
    )
    return at_connection(decided, position.connection)


def _by_chain(
    position: Position, free: Room, table: ValueTable, step: int, chances: Floats
) -> EnergyOffer:
    """The energy offer by what stored energy is worth."""
    return energy_offer(
        table,
        step,
        chances,
        position.stored_wh,
        storage=position.storage,
        rules=position.inputs.rules,
        least_w=-free.down_w,
        most_w=free.up_w,
        tie=position.tie,
    )


def _energy(
    position: Position, free: Room, by_chain: EnergyOffer, quiet: QuietDay | None
) -> tuple[EnergyOffer, OfferedBy]:
    """The chain's offer; on a quiet day that of the day's bounds."""
    if quiet is None:
        return by_chain, "value"
    offer = quiet_offer(
        quiet,
        by_chain,
        position.stored_wh,
        storage=position.storage,
        rules=position.inputs.rules,
        least_w=-free.down_w,
        most_w=free.up_w,
    )
    if offer is by_chain:
        return offer, "value"
    return offer, "last_day" if quiet.time is None else "time_of_day"


def _explanation(position: Position, price: float, plan: Plan | None) -> dict[str, object]:
    """The bid's fields that explain it: expected price and energy, reserve, and plan."""
    withheld_mwh = position.withheld_w * position.inputs.rules.interval_h / W_PER_MW
    return {
        "expected_price": round(price, 4),
        "stored_wh": round(position.stored_wh, 3),
        "withheld_w": round(position.withheld_w, 3),
        "withheld_cost": round(max(price, 0.0) * withheld_mwh, 4),
        "slacks": {} if plan is None else {str(k): float(v) for k, v in plan.slacks.items()},
        "plan_w": () if plan is None else rounded(plan.power_w[:SHOWN_STEPS]),
    }


def _capacity_wanted(position: Position, plan: Plan | None) -> dict[Product, float]:
    """The most of each product, W: all of the power where the market picks, else the plan's."""
    rules, storage = position.inputs.rules, position.storage
    traded: tuple[Product, ...] = tuple(p for p in rules.products if p != "energy")
    if rules.co_optimised:
        return dict.fromkeys(traded, storage.discharge_w + storage.charge_w)
    if plan is None:
        return {}
    planned = {
        "reg_up": plan.reg_up_w, "reg_down": plan.reg_down_w, "reserve": plan.reserve_w
    }  # fmt: skip
    return {product: float(planned[product][0]) for product in traded}
