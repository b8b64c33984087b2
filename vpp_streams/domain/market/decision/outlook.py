"""Step 2: the outlook, which is the price process and what stored energy is worth under it."""

from dataclasses import dataclass

import numpy as np

from vpp_streams.domain.market.connection import Connection
from vpp_streams.domain.market.decision.position import Position
from vpp_streams.domain.market.forecast.capacity import capacity_ahead
from vpp_streams.domain.market.forecast.process import PriceProcess, fit_process, slot_of
from vpp_streams.domain.market.rules import MarketRules, Prices, Storage
from vpp_streams.domain.market.value import ValueTable, value_table

REFIT = 6
"""Intervals that share one outlook: it hardly changes between them."""
LOOK_DAYS = 1.5
"""Horizon of the value table; energy left at its end is worth nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class Outlook:
    """The price process and the value of stored energy, for a group of `REFIT` intervals."""

    made_for_ms: int
    """Start of the group's first interval."""
    process: PriceProcess
    table: ValueTable


class Outlooks:
    """Keeps the newest outlook, which every interval of its group uses."""

    def __init__(self) -> None:
        self._newest: tuple[object, Outlook] | None = None

    def at(self, position: Position) -> Outlook:
        """The outlook of the interval's group, from the prices known before the group."""
        inputs, storage = position.inputs, position.storage
        rules, history = inputs.rules, inputs.history
        group_ms = inputs.start_ms - inputs.start_ms % (REFIT * rules.interval_ms)
        rows = int(np.searchsorted(history.start_ms, group_ms))
        known = history.cut(slice(0, rows))
        # One outlook for the group: published prices are those before its first gate.
        published = inputs.published.newest(group_ms - rules.gate_ms - 1)
        connection = position.connection
        tied = connection.key() if connection else None
        newest = known.energy[-1:].tobytes()
        key = (group_ms, rows, newest, published.key(), storage, rules, tied)
        if self._newest is None or self._newest[0] != key:
            process = fit_process(known, rules, published)
            made = outlook_of(process, known, storage, rules, group_ms, connection=connection)
            self._newest = key, made
        return self._newest[1]


def outlook_of(
    process: PriceProcess,
    known: Prices,
    storage: Storage,
    rules: MarketRules,
    group_ms: int,
    *,
    connection: Connection | None = None,
) -> Outlook:
    """The outlook from ``group_ms`` on; ``known`` prices tell those of capacity."""
    steps = int(rules.day_slots * LOOK_DAYS)
    table = value_table(
        process,
        storage,
        rules,
        slot=int(slot_of(group_ms, rules)),
        steps=steps,
        keep=min(rules.day_slots + REFIT, steps),
        capacity=capacity_ahead(known, rules, group_ms, steps),
        ties=connection.ties(group_ms, rules.interval_ms, steps) if connection else None,
    )
    return Outlook(group_ms, process, table)
