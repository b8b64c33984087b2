"""One decision of the Autobidder: pinned inputs to a bid, in time, whatever the inputs are."""

from collections.abc import Callable
from dataclasses import dataclass, field

from schemas.market import Award, Bid, Delivery, EnergyOffer, InputOffset, PlanView
from vpp_streams.domain.market import MarketRules, Prices, Storage
from vpp_streams.domain.reserve import ReservePolicy


@dataclass(frozen=True, slots=True, eq=False)
class CycleInputs:
    """All that a decision is made from; the same inputs give the same bid."""

    rules: MarketRules
    region: str
    start_ms: int
    """Of the interval to bid for."""
    now_ms: int
    history: Prices
    """Prices that are public now."""
    storage: Storage | None
    """What the region's batteries can do now; None = not known."""
    stored_wh: float | None
    """Energy above the owners' reserves now; None = not known."""
    awards: tuple[Award, ...] = ()
    """Of the intervals that are not over yet: what was sold already."""
    delivered: tuple[Delivery, ...] = ()
    """Of the last day, oldest first."""
    reserve: ReservePolicy = field(default_factory=ReservePolicy)
    last_plan: PlanView | None = None
    sources: tuple[InputOffset, ...] = ()


class Autobidder:
    """Makes bids. What it keeps between them (a warm solver, a fitted forecast) saves time only."""

    def decide(
        self, inputs: CycleInputs, clock: Callable[[], float], deadline_s: float
    ) -> tuple[Bid, PlanView | None]:
        """A bid that the market takes, always, and the plan behind it where there is one.

        ``clock`` gives seconds; from ``deadline_s`` of it on, no solver is begun any more.
        """
        del clock, deadline_s
        return safe_bid(inputs, ()), None


def safe_bid(inputs: CycleInputs, faults: tuple[str, ...]) -> Bid:
    """The last resort: take part with nothing."""
    rules = inputs.rules
    return Bid(
        bid_id=f"{rules.name}:{inputs.region}:{inputs.start_ms}",
        market=rules.name,
        region=inputs.region,
        start_ms=inputs.start_ms,
        interval_ms=rules.interval_ms,
        gate_ms=inputs.start_ms - rules.gate_ms,
        made_at_ms=inputs.now_ms,
        rung="safe",
        energy=EnergyOffer(0.0),
        currency=rules.currency,
        faults=faults,
        sources=inputs.sources,
    )
