"""What a home saves by planning its battery itself, on recorded homes and prices.

    python -m benchmarks.home_plan --days 60
    python -m benchmarks.home_plan --days 60 --emhass emhass.json   # see home_plan_emhass.py

Each home is walked step by step with a time-of-use tariff and with a dynamic one. Its forecaster
learns for 28 days before, and only ever sees the past; prices of a dynamic tariff are known as
published at 13:00 the day before. It plans 36 h again each hour. The saving is what is paid less
than with self-consumption; its share is of what perfect foresight of load, sun and all prices would
have saved. The old rule is that of `device_sim/prices.py`: sell in the day's dearest quarter, buy
in its cheapest. All pay the same wear per discharged MWh.
"""

import gc
import json
import time
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.home_plan_cases import cases
from benchmarks.home_plan_foresight import least_cost
from benchmarks.home_plan_walk import HORIZON_H, WARM_DAYS, Case, Rule, walk
from benchmarks.report import Table, parser, progress, publish
from device_sim.prices import BUY, SELL, actions
from edge.arrays import Floats
from edge.optimizer.forecaster import Forecaster
from edge.optimizer.home import Tariff
from edge.optimizer.plan import Plan, plan
from schemas.protocol import Prices

PI_FACTOR = 4.0
"""How much slower one core of a Pi 4 is: an estimate, not measured."""


class Planner:
    """Our rule: plans each hour, and reads the power from the plan each step."""

    def __init__(self, case: Case) -> None:
        self._case, self._forecaster = case, Forecaster(case.recorded.per_day)
        self._load_w, self._solar_w = case.recorded.filled()
        self._plan: Plan | None = None
        self._made_at = self._seen = 0
        self.spent_s: list[float] = []

    def power_w(self, step: int, stored_wh: float) -> float:
        """The power of a step; learns all steps before it first."""
        per_day = self._case.recorded.per_day
        if self._plan is None or step % (per_day // 24) == 0:
            self._plan, self._made_at = self.replan(step), step
        return self._plan.power_w(
            step - self._made_at,
            stored_wh / self._case.home.energy_wh,
            self._load_w[step],
            self._solar_w[step],
            hold_s=self._case.tariff.step_s,
        )

    def replan(self, step: int) -> Plan:
        """Plan with what is known at a step's start."""
        recorded = self._case.recorded
        monday = recorded.first_weekday * recorded.per_day
        known = self._case.known_prices(step)
        started = time.process_time()
        for past in range(self._seen, step):
            self._forecaster.observe(monday + past, recorded.load_w[past], recorded.solar_w[past])
        outlook = self._forecaster.outlook(monday + step, HORIZON_H * recorded.per_day // 24)
        made = plan(self._case.home, known, outlook)
        if self._seen:  # the first also learns the days before
            self.spent_s.append(time.process_time() - started)
        self._seen = step
        return made


def old_rule(case: Case) -> Rule:
    """Sell in the dearest quarter of the day, buy in the cheapest, else self-consumption."""
    per_day, home = case.recorded.per_day, case.home
    load, solar = case.recorded.filled()
    by_day = case.tariff.buy[: len(load)].reshape(-1, per_day)

    def act(day: Floats) -> Floats:
        interval_ms = round(case.tariff.step_s * 1e3)
        return actions(Prices(from_=0, interval_ms=interval_ms, per_mwh=tuple(1e3 * day))).astype(
            float
        )

    acts = np.concatenate([act(day) for day in by_day])
    power = np.select([acts == SELL, acts == BUY], [home.discharge_w, -home.charge_w], load - solar)
    return lambda step, _: float(power[step])


def costs_of(case: Case, days: Sequence[int]) -> tuple[dict[int, dict[str, float]], list[float]]:
    """Costs by way of using the battery, for the first days of each number; seconds per plan."""
    load, solar = case.recorded.filled()
    net, planner = load - solar, Planner(case)
    rules: dict[str, Rule] = {
        "self": lambda step, _: float(net[step]),
        "old": old_rule(case),
        "ours": planner.power_w,
    }
    walks = {name: walk(case, rule, max(days)) for name, rule in rules.items()}
    found = {}
    for count in days:
        found[count] = {name: one.cost(count, case.worth_per_kwh) for name, one in walks.items()}
        steps = case.steps(count)
        rows = slice(steps.start, steps.stop)
        found[count]["foresight"] = least_cost(
            case.home,
            Tariff(case.tariff.buy[rows], case.tariff.sell[rows], case.tariff.step_s),
            net[rows],
            stored_wh=case.home.energy_wh - case.home.usable_wh,
            worth_per_kwh=case.worth_per_kwh,
        )
    return found, planner.spent_s


def share(costs: dict[str, float], of: str) -> float:
    """Percent of foresight's saving over self-consumption."""
    return 100.0 * (costs["self"] - costs[of]) / (costs["self"] - costs["foresight"])


def peak_bytes(case: Case) -> int:
    """Most memory that a plan and its forecast need at once, beside what was there before."""
    planner, step = Planner(case), WARM_DAYS * case.recorded.per_day
    planner.replan(step)
    gc.collect()
    tracemalloc.start()
    try:
        planner.replan(step)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def _name(case: Case) -> str:
    return f"{case.recorded.name}, {case.tariff_name}"


def main(argv: list[str] | None = None) -> None:
    """Walk the homes and print the tables."""
    options = parser(__doc__)
    options.add_argument("--days", type=int, default=60, help="days that are paid for (60)")
    options.add_argument("--homes", type=int, help="only the first of the pairs (all)")
    options.add_argument("--emhass", type=Path, metavar="FILE", help="result of home_plan_emhass")
    args = options.parse_args(argv)
    other = json.loads(args.emhass.read_text()) if args.emhass else []
    money = Table(
        f"Cost of {args.days} days and share of perfect foresight's saving",
        ["home, tariff", "ours, x self-consumption", "self-consumption", "old rule", "ours",
         "foresight", "old rule %", "ours %"],
    )  # fmt: skip
    beside = Table(
        "The same on the days that EMHASS was run",
        ["home, tariff, EMHASS with", "ours, x EMHASS", "days", "self-consumption", "EMHASS",
         "ours", "foresight", "EMHASS %", "ours %"],
    )  # fmt: skip
    effort = Table(
        "CPU time and memory of a forecast and a plan of 36 h",
        ["home, tariff", "p99, x p50", "steps", "p50 ms", "p99 ms", "p50 ms on a Pi 4, estimated",
         "peak MB"],
        notes=[f"A Pi 4 is taken to be {PI_FACTOR:g} times slower: an estimate, not measured."],
    )  # fmt: skip
    for case in list(cases())[: args.homes]:
        rows = [row for row in other if f"{row['home']}, {row['tariff']}" == _name(case)]
        counts = sorted({args.days, *(int(row["days"]) for row in rows)})
        found, spent = costs_of(case, counts)
        _add(money, beside, case=case, costs=found[args.days], rows=rows, found=found)
        half, most = 1e3 * np.quantile(spent, (0.5, 0.99))
        steps = HORIZON_H * case.recorded.per_day // 24
        mega = peak_bytes(case) / 1e6
        effort.add(_name(case), most / half, steps, half, most, half * PI_FACTOR, mega)
        progress(f"{_name(case)}: {share(found[args.days], 'ours'):.1f} %")
    publish(args, [money, *([beside] if other else []), effort])


def _add(
    money: Table,
    beside: Table,
    *,
    case: Case,
    costs: dict[str, float],
    rows: list[dict[str, Any]],
    found: dict[int, dict[str, float]],
) -> None:
    columns = ("self", "old", "ours", "foresight")
    shares = (share(costs, "old"), share(costs, "ours"))
    money.add(_name(case), costs["ours"] / costs["self"], *(costs[c] for c in columns), *shares)
    for row in rows:
        then = found[row["days"]] | {"emhass": row["cost"]}
        name = f"{_name(case)}, {row['run']}"
        figures = [then[c] for c in ("self", "emhass", "ours", "foresight")]
        shares = (share(then, "emhass"), share(then, "ours"))
        beside.add(name, then["ours"] / then["emhass"], row["days"], *figures, *shares)


if __name__ == "__main__":
    main()
