"""Units in which prices are learned: robust ones and asinh, or plain ones."""

from dataclasses import dataclass

import numpy as np

from vpp_streams.domain.arrays import Floats

_NORMAL = 1.4826
"""Standard deviations of a normal distribution per median absolute deviation."""


@dataclass(frozen=True, slots=True)
class Scale:
    """Robust units and asinh, so that spikes neither vanish nor rule; else plain ones."""

    middle: float
    spread: float
    spiky: bool

    @classmethod
    def of(cls, values: Floats, spiky: bool) -> "Scale":
        """The scale of known values. Values that hardly differ have no robust spread: theirs is
        the standard deviation."""
        plain = float(values.std()) + 1e-9
        if not spiky:
            return cls(float(values.mean()), plain, spiky)
        middle = float(np.median(values))
        robust = float(np.median(np.abs(values - middle))) * _NORMAL + 1e-9
        return cls(middle, robust if robust > 1e-6 * plain else plain, spiky)

    def to(self, values: Floats) -> Floats:
        """Values in this scale."""
        plain: Floats = (values - self.middle) / self.spread
        return np.arcsinh(plain) if self.spiky else plain

    def back(self, scaled: Floats) -> Floats:
        """Scaled values in their own unit."""
        return self.middle + self.spread * (np.sinh(scaled) if self.spiky else scaled)
