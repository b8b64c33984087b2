"""Step 5: a plan from the first rung of a ladder that gives one, within the time there is."""

from collections.abc import Callable
from dataclasses import dataclass

from schemas.market import Rung
from vpp_streams.domain.market.decision.problem import coarser
from vpp_streams.domain.market.plan.model import PlanModel
from vpp_streams.domain.market.plan.problem import Plan, PlanFailure, PlanProblem

LP_LIMIT_S, FRESH_LIMIT_S, COARSE_LIMIT_S = 0.25, 0.5, 0.25
"""Time limits of the three solves: with the kept model, with a new one, and a coarser problem."""


@dataclass(frozen=True, slots=True, eq=False)
class Planned:
    """A plan, or the rung that replaces it."""

    plan: Plan | None
    rung: Rung
    faults: tuple[str, ...]
    """Why earlier rungs gave no plan, and faults of the plan itself."""


class PlanLadder:
    """Solves with the model of the last plan first: a warm start is fast."""

    def __init__(self) -> None:
        self._model = PlanModel()

    def plan(
        self,
        problem: PlanProblem,
        last_planned_w: float | None,
        clock: Callable[[], float],
        deadline_s: float,
    ) -> Planned:
        """The first plan that a rung gives. ``last_planned_w`` only decides the last rung's name.

        No solver runs at or after ``deadline_s`` on ``clock``, in seconds.
        """
        failed: list[str] = []

        def attempt(model: PlanModel, problem: PlanProblem, limit_s: float) -> Plan | None:
            left_s = min(limit_s, deadline_s - clock())
            if left_s <= 0:
                failed.append("there was no time left to plan")
                return None
            found = model.solve(problem, left_s)
            if isinstance(found, PlanFailure):
                failed.append(f"no plan ({found.reason}): {found.detail}")
                return None
            return found

        if (plan := attempt(self._model, problem, LP_LIMIT_S)) is not None:
            return Planned(plan, "warm_lp" if plan.how == "warm" else "fresh_lp", plan.faults)
        self._model = PlanModel()
        if (plan := attempt(self._model, problem, FRESH_LIMIT_S)) is not None:
            return Planned(plan, "fresh_lp", (*failed, *plan.faults))
        if (plan := attempt(PlanModel(), coarser(problem), COARSE_LIMIT_S)) is not None:
            return Planned(plan, "coarse_lp", (*failed, *plan.faults))
        return Planned(None, "value_rule" if last_planned_w is None else "last_plan", tuple(failed))
