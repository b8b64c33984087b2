"""Step 7: the plan as people see it."""

from schemas.market import PlanView
from vpp_streams.domain.arrays import Floats
from vpp_streams.domain.market.cycle_inputs import CycleInputs
from vpp_streams.domain.market.decision.prices_ahead import PricesAhead
from vpp_streams.domain.market.plan.problem import Plan


def plan_view(inputs: CycleInputs, ahead: PricesAhead, plan: Plan) -> PlanView:
    """The plan and the forecast it was made with, rounded."""
    return PlanView(
        market=inputs.rules.name,
        region=inputs.region,
        made_at_ms=inputs.now_ms,
        start_ms=inputs.start_ms,
        interval_ms=inputs.rules.interval_ms,
        power_w=rounded(plan.power_w),
        stored_wh=rounded(plan.stored_wh),
        price=rounded(ahead.mean),
        price_low=rounded(ahead.low),
        price_high=rounded(ahead.high),
        currency=inputs.rules.currency,
    )


def rounded(values: Floats) -> tuple[float, ...]:
    """The values to two decimals."""
    return tuple(values.round(2).tolist())
