"""Step 7: the plan as people see it."""

from schemas.market import PlanView
from vpp_streams.domain.arrays import Floats
from vpp_streams.domain.market.connection import Connection
from vpp_streams.domain.market.cycle_inputs import CycleInputs
from vpp_streams.domain.market.decision.prices_ahead import PricesAhead
from vpp_streams.domain.market.plan.problem import Plan


def plan_view(
    inputs: CycleInputs, ahead: PricesAhead, plan: Plan, connection: Connection | None = None
) -> PlanView:
    """The plan and the forecast it was made with, rounded; powers are those that are metered."""
    power_w = plan.power_w
    if connection is not None:
        steps = len(power_w)
        net = connection.ahead(inputs.start_ms, inputs.rules.interval_ms, steps)
        power_w = power_w - net.expected_w
    return PlanView(
        market=inputs.rules.name,
        region=inputs.region,
        made_at_ms=inputs.now_ms,
        start_ms=inputs.start_ms,
        interval_ms=inputs.rules.interval_ms,
        power_w=rounded(power_w),
        stored_wh=rounded(plan.stored_wh),
        price=rounded(ahead.mean),
        price_low=rounded(ahead.low),
        price_high=rounded(ahead.high),
        currency=inputs.rules.currency,
        metered_at=inputs.rules.metered_at,
    )


def rounded(values: Floats) -> tuple[float, ...]:
    """The values to two decimals."""
    return tuple(values.round(2).tolist())
