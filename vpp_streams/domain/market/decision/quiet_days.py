"""Before step 6: what a quiet day is bid by, if not by what stored energy is worth."""

from dataclasses import dataclass

from vpp_streams.domain.arrays import Floats
from vpp_streams.domain.market.cycle_inputs import CycleInputs
from vpp_streams.domain.market.decision.position import Position
from vpp_streams.domain.market.decision.quiet_views import time_earns_more
from vpp_streams.domain.market.forecast.day_pattern import day_shapes
from vpp_streams.domain.market.forecast.last_day import LastDay, last_day
from vpp_streams.domain.market.forecast.process import slot_of
from vpp_streams.domain.market.forecast.times_of_day import days_before, usual_times


@dataclass(frozen=True, slots=True)
class QuietDay:
    """What the interval's offer is made of."""

    last: LastDay
    time: int | None
    """-1 = the time of day is usually cheap, 1 = dear, 0 = between; None = the level is
    followed, whatever the time."""


class QuietDays:
    """Keeps what the newest days say, which every interval of a day uses."""

    def __init__(self) -> None:
        self._newest: tuple[object, Floats | None] | None = None

    def at(self, position: Position) -> QuietDay | None:
        """The quiet day of the interval to bid for; None where the price chain decides.

        Only the chain knows what capacity earns and what the grid connection costs, so where these
        matter it always decides.
        """
        inputs, rules = position.inputs, position.inputs.rules
        if rules.products != ("energy",) or position.tie is not None:
            return None
        last = last_day(inputs.history, inputs.start_ms, rules)
        if last is None or last.tight:
            return None
        shape = self._shape(inputs)
        if shape is None:
            return QuietDay(last, None)
        times = usual_times(shape, position.storage, rules.day_slots * rules.interval_h)[0]
        return QuietDay(last, int(times[int(slot_of(inputs.start_ms, rules))]))

    def _shape(self, inputs: CycleInputs) -> Floats | None:
        """The usual shape of the day, (1, slots); None where the level lately earned as much."""
        grid = days_before(inputs.history, inputs.start_ms, inputs.rules)
        key = (grid.tobytes(), inputs.rules)
        if self._newest is None or self._newest[0] != key:
            shape = day_shapes(grid, inputs.rules)[-1:]
            self._newest = key, shape if time_earns_more(grid, inputs.rules) else None
        return self._newest[1]
