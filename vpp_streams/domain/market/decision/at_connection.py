"""Where a market is metered at the connection: net load beside battery power.

A decision is made in battery power. What is sold already becomes battery power first, and the bid
becomes the connections' net position at the end.
"""

from collections.abc import Iterable

import msgspec
import numpy as np

from schemas.market import Award, Bid, EnergyOffer, Step
from vpp_streams.domain.market.connection import (
    Connection,
    NetLoad,
    forecast_connection,
    seen_connection,
)
from vpp_streams.domain.market.cycle_inputs import MOST_W, CycleInputs
from vpp_streams.domain.moments import DAY_MS, HOUR_MS

NOT_KNOWN = "what the homes draw is not known: the batteries are not offered"


def connection_of(inputs: CycleInputs) -> tuple[Connection | None, tuple[str, ...]]:
    """The connections ahead and what is wrong with what is known of them, as sentences.

    None in a market that is metered at the battery, and where neither a forecast nor the load of
    now is known.
    """
    rules, forecast = inputs.rules, inputs.region_forecast
    if rules.metered_at == "battery":
        return None, ()
    if forecast is not None and inputs.start_ms < forecast.start_ms + DAY_MS:
        found = forecast_connection(forecast, rules, inputs.limits)
        if found is not None:
            age_ms = inputs.now_ms - forecast.start_ms
            old = f"the forecast of load and solar power is {age_ms / HOUR_MS:.1f} h old"
            return found, (old,) if age_ms > HOUR_MS else ()
    if inputs.load_seen_w is None or inputs.solar_seen_w is None:
        return None, (NOT_KNOWN,)
    found = seen_connection(inputs.load_seen_w, inputs.solar_seen_w, rules, inputs.limits)
    if found is None:
        return None, (NOT_KNOWN,)
    return found, (
        "no forecast of load and solar power is known: they are planned as last seen, give or take"
        " as much",
    )


def net_load_at(connection: Connection | None, inputs: CycleInputs) -> NetLoad | None:
    """The net load of the interval to bid for, one value each."""
    if connection is None:
        return None
    return connection.ahead(inputs.start_ms, inputs.rules.interval_ms, 1)


def at_batteries(awards: Iterable[Award], connection: Connection | None) -> tuple[Award, ...]:
    """Awards with the battery power that they are expected to call for."""
    return tuple(
        award
        if connection is None or award.metered_at == "battery"
        else msgspec.structs.replace(
            award,
            energy_w=award.energy_w
            + float(connection.ahead(award.start_ms, award.interval_ms, 1).expected_w[0]),
        )
        for award in awards
    )


def firm_bounds(
    connection: Connection, net: NetLoad, least_w: float, most_w: float
) -> tuple[float, float]:
    """Battery powers between which an offer holds whatever the net load is in its band.

    The batteries make up for a net load other than expected, so the distance to its quantiles is
    kept free in both directions, down to idle: homes draw what they draw also without an offer.
    Within that, the position keeps the connections' limits as far as the batteries can.
    """
    expected_w = float(net.expected_w[0])
    least_w = min(least_w + expected_w - float(net.low_w[0]), 0.0)
    most_w = max(most_w - (float(net.high_w[0]) - expected_w), 0.0)
    limits = connection.limits
    low = min(max(least_w, expected_w - limits.import_w), most_w)
    return low, max(min(most_w, expected_w + limits.export_w), low)


def at_connection(bid: Bid, connection: Connection | None) -> Bid:
    """A bid in battery power as the net position at the connections."""
    if connection is None:
        return bid
    net = connection.ahead(bid.start_ms, bid.interval_ms, max(len(bid.plan_w), 1))
    expected_w, low_w, high_w = (float(a[0]) for a in (net.expected_w, net.low_w, net.high_w))
    limits = connection.limits

    def less(power_w: float, by_w: float) -> float:
        return float(np.clip(round(power_w - by_w, 3), -MOST_W, MOST_W))

    steps = tuple(Step(step.price, less(step.power_w, expected_w)) for step in bid.energy.steps)
    return msgspec.structs.replace(
        bid,
        energy=EnergyOffer(less(bid.energy.below_w, expected_w), steps),
        expected_w=less(bid.expected_w, expected_w),
        up_w=min(less(bid.up_w, high_w), limits.export_w),
        down_w=min(less(bid.down_w, -low_w), limits.import_w),
        plan_w=tuple(less(w, n) for w, n in zip(bid.plan_w, net.expected_w, strict=False)),
        metered_at="connection",
        net_load_w=round(expected_w, 3),
        net_load_low_w=round(low_w, 3),
        net_load_high_w=round(high_w, 3),
        import_limit_w=float(limits.import_w) if np.isfinite(limits.import_w) else None,
        export_limit_w=float(limits.export_w) if np.isfinite(limits.export_w) else None,
    )
