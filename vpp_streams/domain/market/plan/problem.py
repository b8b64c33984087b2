"""The planning problem of one region's storage, and the plan that solves it.

Interface units: W, Wh, h; money per MWh of energy, per MW and hour of capacity. Power + = export.
Step t lies between the points t and t + 1; stored energy is known at points.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from schemas.market import Product
from vpp_streams.domain.arrays import Floats
from vpp_streams.domain.market.connection import NO_LIMITS, ConnectionLimits
from vpp_streams.domain.market.rules import MarketRules, Storage

NOT_KNOWN = float("nan")

Slack = Literal[
    "stored_below_reserve",
    "stored_above_full",
    "commitment_missed",
    "reg_up_missed",
    "reg_down_missed",
    "reserve_missed",
    "final_short",
    "import_over_limit",
    "export_over_limit",
]
"""Limits that a plan may pass where it cannot keep them, Wh (stored, final) or W (the others)."""
Failure = Literal["time_limit", "bad_input", "solver"]


@dataclass(frozen=True, slots=True, eq=False)
class PlanProblem:
    """Prices, storage and limits of the steps to plan; arrays have a value per step.

    An array that is None takes the storage's own limit for every step. Limits of power are hard
    (no power at all always keeps them); all others are soft and priced above anything that could
    be earned by passing them, so that there always is a plan.
    """

    hours: Floats
    """Length of each step, h, > 0."""
    energy_price: Floats
    """All must be known."""
    storage: Storage
    stored_wh: float
    """At the start; may be outside of the limits."""
    rules: MarketRules
    capacity_price: Mapping[Product, Floats] = field(default_factory=dict)
    """Of the products to plan besides energy; NaN = the product is not sold in that step."""
    charge_w: Floats | None = None
    discharge_w: Floats | None = None
    energy_min_wh: Floats | None = None
    """Kept at the start and the end of the step, as is the maximum."""
    energy_max_wh: Floats | None = None
    committed_w: Floats | None = None
    """Net power that is sold already; NaN = free to choose."""
    committed_capacity_w: Mapping[Product, Floats] = field(default_factory=dict)
    """Capacity that is sold already, no more and no less; NaN = free to choose."""
    terminal_wh: tuple[float, ...] | Floats = ()
    """Rising: up to this much stored energy at the end (from the one before, or from 0) ..."""
    terminal_per_mwh: tuple[float, ...] | Floats = ()
    """... each MWh is worth so much; falling. Beyond the last it is worth nothing."""
    final_wh: float = NOT_KNOWN
    """Stored energy wanted at the end, at least; NaN = none."""
    net_load_w: Floats | None = None
    """Load less solar power at the connection, where energy is metered there: then the rules' fees
    and the limits apply to battery power less net load. None = metered at the battery."""
    limits: ConnectionLimits = NO_LIMITS
    """Soft, because load and solar power may pass them without the storage."""


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """The best use of the storage, and what it leaves undone."""

    power_w: Floats
    """Net, per step: discharge less charge."""
    charge_w: Floats
    discharge_w: Floats
    reg_up_w: Floats
    reg_down_w: Floats
    reserve_w: Floats
    stored_wh: Floats
    """At the points: one more than steps; with the regulation's expected use of energy."""
    value_per_mwh: Floats
    """What one more MWh stored at the end of each step would earn."""
    money: float
    """Expected income less wear and fees, with the worth of what is stored at the end."""
    slacks: Mapping[Slack, float]
    """Only what is passed, each at its worst."""
    faults: tuple[str, ...]
    """What was wrong with the input and what was taken instead, a code each."""
    solve_ms: float
    rounds: int
    """Times solved; more than 1 where a step would have charged and discharged at once."""
    how: Literal["warm", "fresh"]


@dataclass(frozen=True, slots=True)
class PlanFailure:
    """There is no plan."""

    reason: Failure
    detail: str
    faults: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class PowerCurve:
    """The first step's net power, and what all else would earn: concave."""

    power_w: Floats
    """Rising."""
    money: Floats
    """Money without what the first step's energy is paid; what slacks cost is taken off."""
    solve_ms: float
