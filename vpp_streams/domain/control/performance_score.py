"""How well a response followed a regulation signal, as PJM scores it.

Source: PJM Manual 12, section 4.5.6 (regulation performance score): a third each of

- accuracy: the best correlation of response and signal over delays from 0 to 5 minutes;
- delay: 1 at no delay, 0 at 5 minutes, of the delay at which that correlation is reached;
- precision: 1 less the mean error over the mean signal, both as magnitudes, at no delay.

PJM correlates over rolling 5 minutes and averages; here it is once over an hour,
which a signal that stands still for minutes leaves defined.
"""

from dataclasses import dataclass

import numpy as np

from vpp_streams.domain.arrays import Floats

_DELAY_STEP_S, _MOST_DELAY_S = 10.0, 300.0
_STILL = 1e-9


@dataclass(frozen=True, slots=True)
class Score:
    """The three parts, each at most 1; precision (and so the score) may be below 0."""

    accuracy: float
    delay: float
    precision: float
    delay_s: float
    """The delay at which the correlation is best."""
    mean_signal: float
    """Mean magnitude of the signal, in its unit: small errors of a small signal weigh much."""

    @property
    def score(self) -> float:
        """The mean of the three."""
        return (self.accuracy + self.delay + self.precision) / 3


def performance_score(signal: Floats, response: Floats, step_s: float) -> Score:
    """Score a response; both in one unit, shape (n,), a sample each ``step_s``.

    Raises ValueError where the step does not divide 10 s, the span is not longer than 5 minutes,
    or the signal stands still and cannot be followed.
    """
    per_delay = _DELAY_STEP_S / step_s
    if per_delay != round(per_delay):
        raise ValueError(f"samples of {step_s} s do not divide {_DELAY_STEP_S:g} s")
    delays_s = np.arange(0.0, _MOST_DELAY_S + 1, _DELAY_STEP_S)
    if len(signal) != len(response) or len(signal) * step_s <= _MOST_DELAY_S + _DELAY_STEP_S:
        raise ValueError(f"needs more than {_MOST_DELAY_S:g} s of signal, and as much response")
    if np.ptp(signal) <= _STILL * np.abs(signal).max():
        raise ValueError("the signal stands still")
    shifts = np.round(delays_s / step_s).astype(np.int64)
    correlations = [
        _correlation(signal[: len(signal) - shift], response[shift:]) for shift in shifts.tolist()
    ]
    best = int(np.argmax(correlations))
    mean_signal = float(np.abs(signal).mean())
    return Score(
        accuracy=max(correlations[best], 0.0),
        delay=float(1 - delays_s[best] / _MOST_DELAY_S),
        precision=1 - float(np.abs(response - signal).mean()) / mean_signal,
        delay_s=float(delays_s[best]),
        mean_signal=mean_signal,
    )


def moves(signal: Floats) -> bool:
    """Whether an hour of a signal, in % of capacity, moves enough to score a response to it.

    Such an hour changes on at least a tenth of its steps and spreads (standard deviation) by
    at least 10 % of capacity. The rest is stuck, or saturated nearly throughout: correlation
    says nothing there, and any constant would follow it.
    """
    changes = np.count_nonzero(np.diff(signal)) / max(len(signal) - 1, 1)
    return bool(changes >= 0.1 and np.std(signal) >= 10.0)


def _correlation(a: Floats, b: Floats) -> float:
    """Pearson's; a series that stands still correlates with nothing: 0."""
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / scale if scale > 0 else 0.0
