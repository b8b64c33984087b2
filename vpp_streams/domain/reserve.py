"""What the fleet can be counted on for: what it delivered lately, less an explicit reserve."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class ReservePolicy:
    """How much of a region's capability is kept back, so that an award is met all the same.

    ``n_minus_1``: the largest single part (a site, or a grid battery) may fail.
    ``quantile``: as much as was missed in all but the worst ``value`` of the intervals lately.
    ``flat``: the fraction ``value``.
    """

    kind: Literal["n_minus_1", "quantile", "flat"] = "quantile"
    value: float = 0.1
