"""Which purchase of a plan each of its sales empties: the first stored is the first sold.

A purchase comes before its sale and a step goes one way only, so whichever of the pairs are
carried out, the storage keeps its limits: it holds no more than the plan, and no less than nothing.
"""

from collections import deque
from dataclasses import dataclass

from vpp_streams.domain.arrays import Floats
from vpp_streams.domain.market.rules import Storage

LEAST = 1e-6
"""Share of the storage's energy that is a rounding error, and no pair."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A purchase and the sale of the same energy, by step."""

    bought: int | None
    """None = stored before the plan began."""
    sold: int | None
    """None = not sold within the plan."""
    buy_w: float
    sell_w: float
    """Power in these steps that belongs to the pair, >= 0."""


def pairs_of(power_w: Floats, stored_wh: float, storage: Storage, hours: float) -> list[Pair]:
    """The pairs of a plan (power by step, + = sold) that begins with a stored energy."""
    least_wh = LEAST * storage.energy_wh
    waiting = deque(
        [(None, stored_wh)] if stored_wh > least_wh else list[tuple[int | None, float]]()
    )
    pairs = []

    def add(bought: int | None, sold: int | None, energy_wh: float) -> None:
        buy_w = 0.0 if bought is None else energy_wh / storage.charge_efficiency / hours
        sell_w = 0.0 if sold is None else energy_wh * storage.discharge_efficiency / hours
        pairs.append(Pair(bought, sold, buy_w, sell_w))

    for step, power in enumerate(power_w.tolist()):
        if power < 0:
            waiting.append((step, -power * hours * storage.charge_efficiency))
            continue
        wanted_wh = power * hours / storage.discharge_efficiency
        while wanted_wh > least_wh and waiting:
            bought, held_wh = waiting.popleft()
            taken_wh = min(wanted_wh, held_wh)
            wanted_wh -= taken_wh
            add(bought, step, taken_wh)
            if held_wh - taken_wh > least_wh:
                waiting.appendleft((bought, held_wh - taken_wh))
    for bought, held_wh in waiting:
        if held_wh > least_wh:
            add(bought, None, held_wh)
    return pairs
