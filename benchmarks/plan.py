"""The time to make a plan again after prices, forecasts and stored energy have changed.

    python -m benchmarks.plan

A storage plans 24 h of 5 min each, cycle after cycle: the horizon moves a step, forecasts of all
prices and the terminal value move, and what is stored is not what the plan had. Milliseconds of
CPU from the numbers to the plan, checks of the input included; and how many times as long the same
takes with a model built afresh, and in cvxpy (parameters, compiled once), in the same run.
"""

import gc
import time
from collections.abc import Sequence
from dataclasses import dataclass

import cvxpy as cp
import numpy as np

from benchmarks.report import Table, cpu_s, parser, progress, publish
from schemas.market import Product
from vpp_streams.domain.market.plan.breaches import breaches
from vpp_streams.domain.market.plan.model import PlanModel
from vpp_streams.domain.market.plan.problem import Plan, PlanProblem
from vpp_streams.domain.market.rules import MarketRules, Storage

STORAGE = Storage(4e6, 1e6, 1e6, 0.92, 0.92, 15.0)
RULES = MarketRules(
    name="bench", currency="EUR", interval_ms=300_000, gate_ms=300_000, floor=-1000.0, cap=15_000.0
)
CAPACITY: tuple[Product, ...] = ("reg_up", "reg_down", "reserve")
FULL_WH = np.linspace(5e5, 4e6, 8)
LIMIT_S = 30.0
PER_DAY = 288


@dataclass(frozen=True, slots=True, eq=False)
class Prices:
    """Prices by 5 min: a day's shape with a cheap noon, noise, and a few spikes."""

    energy: np.ndarray
    capacity: dict[Product, np.ndarray]


def prices_of(rng: np.random.Generator, steps: int, products: Sequence[Product]) -> Prices:
    """Prices of this many steps; below 0 around noon."""
    hour = np.arange(steps) / 12.0
    shape = 55.0 - 25.0 * np.cos((hour - 4.0) * np.pi / 12.0)
    shape -= 110.0 * np.exp(-(((hour % 24.0 - 12.5) / 2.5) ** 2))
    noise = np.zeros(steps)
    for t in range(1, steps):
        noise[t] = 0.95 * noise[t - 1] + rng.normal(0.0, 5.0)
    spike = (rng.random(steps) < 0.003) * rng.uniform(200.0, 3000.0, steps)
    capacity = {p: np.abs(rng.normal(8.0, 4.0, steps // 12 + 1)) for p in products}
    return Prices(shape + noise + spike, {p: c.repeat(12)[:steps] for p, c in capacity.items()})


def problem_of(
    rng: np.random.Generator, coming: Prices, at: int, steps: int, stored_wh: float
) -> PlanProblem:
    """The inputs of one cycle: forecasts are less certain further ahead."""
    rows = slice(at, at + steps)
    unsure = 0.5 * np.cumsum(rng.normal(0.0, 0.5, steps)) + np.append(
        0.0, rng.normal(0.0, 2.0, steps - 1)
    )
    return PlanProblem(
        hours=np.full(steps, 1.0 / 12.0),
        energy_price=coming.energy[rows] + unsure,
        storage=STORAGE,
        stored_wh=stored_wh,
        rules=RULES,
        capacity_price={
            p: price[rows] * rng.uniform(0.97, 1.03) for p, price in coming.capacity.items()
        },
        terminal_wh=FULL_WH,
        terminal_per_mwh=np.linspace(90.0, 20.0, 8) + rng.normal(0.0, 2.0),
    )


def cycles_of(steps: int, cycles: int, products: Sequence[Product]) -> list[PlanProblem]:
    """The problems of consecutive cycles; stored energy follows the plans, with noise."""
    rng, model, stored_wh = np.random.default_rng(1), PlanModel(), 2e6
    coming, made = prices_of(rng, steps + cycles, products), []
    for at in range(cycles):
        made.append(problem_of(rng, coming, at, steps, stored_wh))
        plan = model.solve(made[-1], LIMIT_S)
        assert isinstance(plan, Plan), plan
        assert not breaches(plan, made[-1])
        stored_wh = float(np.clip(plan.stored_wh[1] + rng.normal(0.0, 4e4), 0.0, 4e6))
    return made


class InCvxpy:
    """The same model with hard limits, which none of these problems exceeds."""

    def __init__(self, like: PlanProblem) -> None:
        n, h = len(like.hours), like.hours
        self.price, self.stored = cp.Parameter(n), cp.Parameter()
        self.terminal = cp.Parameter(len(FULL_WH), nonneg=True)
        self.capacity = {p: cp.Parameter(n) for p in like.capacity_price}
        c, d, s = cp.Variable(n, nonneg=True), cp.Variable(n, nonneg=True), cp.Variable(n + 1)
        held = {p: cp.Variable(n, nonneg=True) for p in self.capacity}
        none = np.zeros(n)
        up, down = held.get("reg_up", none), held.get("reg_down", none)
        reserve = held.get("reserve", none)
        given, taken = d + RULES.reg_up_used * up, c + RULES.reg_down_used * down
        efficiency = STORAGE.charge_efficiency
        backed = (RULES.sustain_h * up + RULES.reserve_sustain_h * reserve) / efficiency
        pieces = cp.Variable(len(FULL_WH), nonneg=True)
        rules = [
            s[0] == self.stored,
            cp.diff(s) == cp.multiply(h, efficiency * taken - given / efficiency),
            c <= 1.0,
            d <= 1.0,
            up + reserve + d - c <= 1.0,
            down + c - d <= 1.0,
            cp.sum(pieces) == s[n],
            pieces <= np.diff(FULL_WH, prepend=0.0) / 1e6,
        ]
        for point in (s[:-1], s[1:]):
            rules += [point >= backed, point + RULES.sustain_h * efficiency * down <= 4.0]
        money = self.price @ cp.multiply(h, given - taken) + self.terminal @ pieces
        money -= STORAGE.wear_per_mwh * (h @ given)
        money += sum(self.capacity[p] @ cp.multiply(h, held[p]) for p in held)
        self.problem = cp.Problem(cp.Maximize(money), rules)

    def solve(self, problem: PlanProblem) -> float:
        """The objective, in money."""
        self.price.value, self.stored.value = problem.energy_price, problem.stored_wh / 1e6
        self.terminal.value = problem.terminal_per_mwh
        for product, price in problem.capacity_price.items():
            self.capacity[product].value = price
        self.problem.solve(cp.CLARABEL)
        return float(self.problem.value)


def warm_s(made: list[PlanProblem], model: PlanModel) -> tuple[list[float], list[Plan]]:
    """CPU seconds of each cycle with one reused model, without the first; and the plans."""
    spent, plans = [], []
    for problem in made:
        start = time.process_time()
        plan = model.solve(problem, LIMIT_S)
        spent.append(time.process_time() - start)
        assert isinstance(plan, Plan)
        plans.append(plan)
    return spent[1:], plans


def row_of(made: list[PlanProblem], repeat: int) -> list[float]:
    """The measurements with these problems; see the columns."""
    model, other = PlanModel(), InCvxpy(made[0])
    gc.collect()
    spent, plans = warm_s(made, model)
    curve_s = cpu_s(lambda: model.first_power_curve(LIMIT_S), repeat)
    some = made[:: max(len(made) // repeat, 1)]
    fresh, theirs = iter(some), iter(some)
    fresh_s = cpu_s(lambda: PlanModel().solve(next(fresh), LIMIT_S), len(some))
    apart = abs(plans[0].money / other.solve(made[0]) - 1.0)
    cvxpy_s = cpu_s(lambda: other.solve(next(theirs)), len(some))
    p50_s, p99_s = np.quantile(spent, [0.5, 0.99])
    in_ms = [1e3 * s for s in (p50_s, p99_s, fresh_s, curve_s)]
    return [cvxpy_s / p50_s, fresh_s / p50_s, *in_ms, 100.0 * apart]


def table_of(steps: int, cycles: int, repeat: int) -> Table:
    """Measure with regulation and reserve, and without."""
    columns = (
        "products", "cvxpy x", "fresh x", "p50 ms", "p99 ms", "fresh ms", "curve ms", "apart %",
    )  # fmt: skip
    table = Table(f"A plan of {steps} steps made again", columns)
    for products in (CAPACITY, ()):
        progress(f"energy and {len(products)} other products, {cycles} cycles")
        made = cycles_of(steps, cycles, products)
        table.add(", ".join(("energy", *products)), *row_of(made, repeat))
    table.notes.append(
        f"{cycles} cycles of a rolling horizon; curve: what 9 powers of the first step leave the"
        " rest to earn"
    )
    return table


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    options = parser(__doc__, repeat=15)
    options.add_argument("--steps", type=int, default=PER_DAY)
    options.add_argument("--cycles", type=int, default=300)
    args = options.parse_args(argv)
    publish(args, [table_of(args.steps, args.cycles, args.repeat)])


if __name__ == "__main__":
    main()
