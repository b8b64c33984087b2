"""Extremely bad inputs, and a check of the resulting bid; for tests and `benchmarks.bid_fuzz`."""

from collections.abc import Callable
from dataclasses import replace
from typing import get_args

import numpy as np

from schemas.encoding import decode_json, encode_json
from schemas.market import Award, Bid, Delivery, PlanView
from schemas.wire import UNREADABLE
from vpp_streams.domain.market.cycle_inputs import CycleInputs
from vpp_streams.domain.market.forecast.series import NOTHING_PUBLISHED, Feed
from vpp_streams.domain.market.plan.problem import Slack
from vpp_streams.domain.market.reserve import ReservePolicy
from vpp_streams.domain.market.rules import BidRefusedError, MarketRules, Prices, Storage, check_bid
from vpp_streams.domain.moments import HOUR_MS

START_MS = 1_763_856_000_000
"""The start of a day, UTC."""
HOURLY = MarketRules(
    name="test",
    currency="EUR",
    interval_ms=3_600_000,
    gate_ms=60_000,
    floor=-500.0,
    cap=4000.0,
    products=("energy", "reg_up", "reg_down", "reserve"),
    co_optimised=True,
)
SLACKS = frozenset(get_args(Slack))
STRANGE = (np.nan, np.inf, -np.inf, -1.0, 0.0, 1e18, -1e18, 1e-12)
RULES = tuple(
    replace(HOURLY, co_optimised=both, products=products)
    for both in (True, False)
    for products in (HOURLY.products, ("energy",), ("energy", "reg_down"))
)


def absurd_inputs(rng: np.random.Generator) -> tuple[CycleInputs, Callable[[], float]]:
    """Inputs of which any part may be missing, late, not a number or absurd; and a clock."""
    rules = RULES[0 if rng.random() < 0.6 else rng.integers(len(RULES))]
    start_ms = START_MS + int(rng.integers(0, 240)) * HOUR_MS
    storage = _storage(rng)
    stored = _number(rng, rng.uniform(-0.2, 1.2) * 2e6)
    inputs = CycleInputs(
        rules=rules,
        region="north",
        start_ms=start_ms,
        now_ms=start_ms - rules.gate_ms - int(rng.integers(0, 7_200_000)),
        history=_history(rng, start_ms, rules),
        storage=None if rng.random() < 0.02 else storage,
        stored_wh=None if rng.random() < 0.02 else stored,
        awards=_awards(rng, start_ms),
        delivered=_delivered(rng, start_ms),
        reserve=ReservePolicy(
            kind=("n_minus_1", "quantile", "flat")[rng.integers(3)],
            value=_number(rng, rng.uniform(0, 1)),
        ),
        last_plan=_last_plan(rng, start_ms) if rng.random() < 0.5 else None,
        published=_published(rng, start_ms) if rng.random() < 0.5 else NOTHING_PUBLISHED,
    )
    step = float(rng.choice([0.0, 0.0, 0.0, 0.12, 0.4, 2.0]))
    now = [0.0]

    def clock() -> float:
        now[0] += step
        return now[0]

    return inputs, clock


def complaints(bid: Bid, inputs: CycleInputs) -> list[str]:
    """The faults of a bid that was made from these inputs; empty = none."""
    wrong = []
    try:
        check_bid(bid, inputs.rules, inputs.now_ms)
        decode_json(encode_json(bid), Bid)  # it can be published and read
    except (BidRefusedError, *UNREADABLE) as error:
        wrong.append(str(error))
    if not set(bid.slacks) <= SLACKS:
        wrong.append(f"slacks without a name: {bid.slacks}")
    if bid.rung == "safe" and not bid.faults:
        wrong.append("nothing is offered, and it does not say why")
    return wrong + _beyond(bid, inputs)


def _beyond(bid: Bid, inputs: CycleInputs) -> list[str]:
    """Powers beyond what the storage can deliver, including what is sold already."""
    powers = [bid.energy.below_w, *(step.power_w for step in bid.energy.steps)]
    storage, stored = inputs.storage, inputs.stored_wh
    if storage is None or stored is None or not np.isfinite(stored):
        return ["offered without knowing what there is"] if any(powers) else []
    numbers = (storage.energy_wh, storage.charge_w, storage.discharge_w)
    if not all(np.isfinite(n) for n in numbers):
        return ["offered without knowing what there is"] if any(powers) else []
    wrong = []
    most, least = max(storage.discharge_w, 0.0), -max(storage.charge_w, 0.0)
    if max(powers) > most + 1.0 or min(powers) < least - 1.0:
        wrong.append(f"{min(powers)}..{max(powers)} W is beyond {least}..{most} W")
    if bid.stored_wh is not None and not -1.0 <= bid.stored_wh <= max(storage.energy_wh, 0) + 1.0:
        wrong.append(f"{bid.stored_wh} Wh is beyond the storage")
    if bid.stored_wh is not None:
        # Sold energy must be stored, at the best possible efficiency.
        hours = inputs.rules.interval_h
        if max(powers) * hours > bid.stored_wh + 1.0:
            wrong.append(f"{max(powers)} W is more than {bid.stored_wh} Wh give")
    return wrong


def _number(rng: np.random.Generator, usual: float) -> float:
    return float(rng.choice(STRANGE)) if rng.random() < 0.04 else float(usual)


def _storage(rng: np.random.Generator) -> Storage:
    size = float(10 ** rng.uniform(3, 9))
    return Storage(
        energy_wh=_number(rng, 2e6 if rng.random() < 0.5 else size),
        charge_w=_number(rng, 1e6 if rng.random() < 0.5 else size),
        discharge_w=_number(rng, 1e6),
        charge_efficiency=_number(rng, 0.92),
        discharge_efficiency=_number(rng, rng.choice([0.92, 0.92, 0.92, 0.8])),
        wear_per_mwh=_number(rng, rng.uniform(0, 30)),
    )


def _history(rng: np.random.Generator, start_ms: int, rules: MarketRules) -> Prices:
    count = int(rng.choice([0, 1, 5, 48, 120, 240, 240]))
    energy = rng.normal(50, 60, count)
    if rng.random() < 0.5:  # days that are alike
        energy = energy / 10 + 60 * np.sin(np.arange(count) * (2 * np.pi / 24))
    late = int(rng.choice([0, 0, 0, 3, 50])) * HOUR_MS
    starts = start_ms - count * HOUR_MS - late + np.arange(count, dtype=np.int64) * HOUR_MS
    capacity = np.maximum(np.abs(energy) / 10, 1.0)
    columns = {product: capacity.copy() for product in rules.products} | {"energy": energy}
    if count and rng.random() < 0.3:
        for column in columns.values():
            where = rng.integers(0, count, 3)
            column[where] = rng.choice([*STRANGE, 1e5, -1e5], 3)
    if count > 3 and rng.random() < 0.1:
        starts[2] = starts[1]  # a repeat
        starts[0] = starts[-1] + HOUR_MS  # out of order, and in the future
    return Prices("test", "EUR", rules.interval_ms, starts, columns)


def _published(rng: np.random.Generator, start_ms: int) -> Feed:
    """Prices that others publish: old, in the future, for other days, withdrawn, no numbers."""
    count = int(rng.choice([1, 5, 48]))
    values = rng.normal(50, 200, count)
    where = rng.integers(0, count, 2)
    values[where] = rng.choice([*STRANGE, 1e5, -1e5], 2)
    starts = start_ms + rng.integers(-4, 30, count) * HOUR_MS + int(rng.choice([0, 0, 0, 7]))
    published = start_ms - rng.integers(-2, 40, count) * (HOUR_MS // 4)
    return Feed(starts.astype(np.int64), published.astype(np.int64), values)


def _awards(rng: np.random.Generator, start_ms: int) -> tuple[Award, ...]:
    return tuple(
        Award(
            bid_id="x",
            market="test",
            region="north",
            start_ms=start_ms + int(rng.integers(-2, 3)) * HOUR_MS,
            interval_ms=HOUR_MS,
            cleared_at_ms=0,
            energy_w=_number(rng, rng.normal(0, 1e6)),
            prices={},
            capacity_w={"reg_up": abs(_number(rng, 1e5))} if rng.random() < 0.3 else {},
            currency="EUR",
        )
        for _ in range(rng.integers(0, 3))
    )


def _delivered(rng: np.random.Generator, start_ms: int) -> tuple[Delivery, ...]:
    return tuple(
        Delivery(
            bid_id="x",
            market="test",
            region="north",
            start_ms=start_ms - HOUR_MS,
            interval_ms=HOUR_MS,
            awarded_w=_number(rng, 5e5),
            measured_w=_number(rng, rng.uniform(0, 6e5)),
            coverage=_number(rng, 1.0),
            money=0.0,
            currency="EUR",
        )
        for _ in range(rng.choice([0, 0, 20]))
    )


def _last_plan(rng: np.random.Generator, start_ms: int) -> PlanView:
    return PlanView(
        market="test",
        region="north",
        made_at_ms=0,
        start_ms=start_ms + int(rng.integers(-4, 2)) * HOUR_MS,
        interval_ms=int(rng.choice([HOUR_MS, HOUR_MS, HOUR_MS // 2])),
        power_w=tuple(_number(rng, rng.normal(0, 2e6)) for _ in range(rng.integers(0, 9))),
        stored_wh=(),
        price=(),
        currency="EUR",
    )
