"""The Autobidder: pinned inputs to a bid, in time, whatever the inputs are.

What stored energy is worth comes from dynamic programming over the price chain (`outlook`) and
shapes the offer (`offer`). A linear programme over the expected prices gives the plan
(`problem`, `ladder`): when to charge, what to sell as capacity, which limit gives way. Where a
step fails, the next rung of the ladder replaces it, and the bid names that rung.
"""

from collections.abc import Callable

import msgspec

from schemas.market import Bid, PlanView
from vpp_streams.domain.market.cycle_inputs import CycleInputs, usable
from vpp_streams.domain.market.decision.fallback import last_plan_bid, planned_w, safe_bid
from vpp_streams.domain.market.decision.ladder import PlanLadder
from vpp_streams.domain.market.decision.offer import offer_bid
from vpp_streams.domain.market.decision.outlook import Outlooks
from vpp_streams.domain.market.decision.plan_view import plan_view
from vpp_streams.domain.market.decision.position import position_of
from vpp_streams.domain.market.decision.prices_ahead import prices_ahead
from vpp_streams.domain.market.decision.problem import plan_problem
from vpp_streams.domain.market.decision.quiet_days import QuietDays


class Autobidder:
    """Decides bids. What it keeps between them (a warm solver, an outlook, how alike days
    were) only saves time."""

    def __init__(self) -> None:
        self._outlooks = Outlooks()
        self._quiet_days = QuietDays()
        self._ladder = PlanLadder()

    def decide(
        self, inputs: CycleInputs, clock: Callable[[], float], deadline_s: float
    ) -> tuple[Bid, PlanView | None]:
        """A bid that the market accepts, always, and the plan behind it where there is one.

        ``clock`` returns seconds; no solver is started at or after ``deadline_s`` on that clock.
        """
        began_s = clock()
        sound = usable(inputs)
        if isinstance(sound, str):
            return safe_bid(inputs, (sound,)), None
        position = position_of(sound)
        if not position.can_trade:
            nothing = () if position.stranded else ("the region has nothing to offer",)
            return safe_bid(sound.inputs, (*position.faults, *nothing)), None
        if clock() >= deadline_s:
            return last_plan_bid(position), None
        outlook = self._outlooks.at(position)
        ahead = prices_ahead(outlook.process, position.inputs)
        problem = plan_problem(position, outlook, ahead)
        planned = self._ladder.plan(problem, planned_w(position.inputs), clock, deadline_s)
        bid = msgspec.structs.replace(
            offer_bid(position, outlook, ahead, planned.plan, self._quiet_days.at(position)),
            rung=planned.rung,
            faults=(*position.faults, *planned.faults),
            solve_ms=round((clock() - began_s) * 1e3, 3),
        )
        if planned.plan is None:
            return bid, None
        return bid, plan_view(position.inputs, ahead, planned.plan, position.connection)
