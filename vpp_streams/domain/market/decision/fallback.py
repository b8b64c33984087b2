"""Where a step is missing: a bid of the last plan's power, or one that offers nothing."""

import msgspec
import numpy as np

from schemas.market import Bid, EnergyOffer
from vpp_streams.domain.market.bids import fixed_offer
from vpp_streams.domain.market.cycle_inputs import CycleInputs
from vpp_streams.domain.market.decision.at_connection import at_connection, connection_of
from vpp_streams.domain.market.decision.position import Position, offered_bounds, unsold_room
from vpp_streams.domain.market.ledger import bid_id
from vpp_streams.domain.market.value import feasible_power


def safe_bid(inputs: CycleInputs, faults: tuple[str, ...]) -> Bid:
    """A valid bid that offers nothing of the batteries, with the reasons; the last resort.

    At the connection it buys what the homes are expected to draw, where that is known.
    """
    return at_connection(idle_bid(inputs, faults), connection_of(inputs)[0])


def idle_bid(inputs: CycleInputs, faults: tuple[str, ...]) -> Bid:
    """A bid of no battery power."""
    rules = inputs.rules
    return Bid(
        bid_id=bid_id(rules.name, inputs.region, inputs.start_ms),
        market=rules.name,
        region=inputs.region,
        start_ms=inputs.start_ms,
        interval_ms=rules.interval_ms,
        gate_ms=inputs.start_ms - rules.gate_ms,
        made_at_ms=inputs.now_ms,
        rung="safe",
        energy=EnergyOffer(0.0),
        currency=rules.currency,
        faults=faults,
        sources=inputs.sources,
        metered_at=rules.metered_at,
    )


def last_plan_bid(position: Position) -> Bid:
    """The last plan's power, cut to what is feasible now: there was no time to look ahead."""
    inputs = position.inputs
    faults = (*position.faults, "there was no time to look ahead")
    planned = planned_w(inputs)
    if planned is None:
        return safe_bid(inputs, faults)
    room = unsold_room(position)
    if position.net_load is not None and inputs.last_plan is not None:
        at_connection_too = inputs.last_plan.metered_at == "connection"
        planned += float(position.net_load.expected_w[0]) if at_connection_too else 0.0
    least_w, most_w = offered_bounds(position, -room.down_w, room.up_w)
    within = np.array([min(max(planned, least_w), most_w)])
    power_w = feasible_power(within, position.stored_wh, position.storage, inputs.rules.interval_h)
    decided = msgspec.structs.replace(
        idle_bid(inputs, faults),
        rung="last_plan",
        energy=fixed_offer(float(power_w[0])),
        expected_w=float(power_w[0]),
        stored_wh=round(position.stored_wh, 3),
        up_w=room.up_w,
        down_w=room.down_w,
    )
    return at_connection(decided, position.connection)


def planned_w(inputs: CycleInputs) -> float | None:
    """The last plan's power for the interval to bid for, W, where the plan is metered; None where
    it has none.
    """
    plan = inputs.last_plan
    if plan is None or plan.interval_ms <= 0:
        return None
    step, beside = divmod(inputs.start_ms - plan.start_ms, plan.interval_ms)
    if beside or not 0 <= step < len(plan.power_w):
        return None
    power_w = plan.power_w[step]
    return power_w if np.isfinite(power_w) else None
