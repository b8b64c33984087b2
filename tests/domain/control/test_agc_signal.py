"""Real regulation signal: a fleet of 10 000 simulated homes follows it within every limit."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from benchmarks.agc import SIGNAL, moving_hours, scores

MOVES_MOST = "2016-05-26 21h"
"""Its 4 s changes are the largest: a perfect response that is a second late scores 0.9666 here,
so devices that step each second cannot reach 0.97. Those of `vpp sim` step each 0.2 s."""


@pytest.mark.skipif(not SIGNAL.exists(), reason=f"no {SIGNAL.name} in ../shared/data")
@pytest.mark.parametrize(("name", "step_s"), [("2016-04-18 20h", 1.0), (MOVES_MOST, 0.5)])
def test_ten_thousand_homes_follow_the_signal(
    name: str, step_s: float, record_property: Callable[[str, object], None]
) -> None:
    hours = dict(moving_hours(pd.read_csv(SIGNAL, index_col=0)))
    assert len(hours) == 167, "of the 296 hours in the file"
    assert max(hours, key=lambda n: np.abs(np.diff(hours[n])).mean()) == MOVES_MOST
    ((_, score, perfect, breaches),) = scores([(name, hours[name])], 10_000, step_s)
    told = f"{score.score:.4f} at mean |signal| {score.mean_signal / 1e6:.2f} MW"
    print(f"{name}: performance score {told}")  # noqa: T201  # asked for: score with signal
    record_property(name, told)
    assert score.score >= 0.97
    assert score.score == pytest.approx(perfect.score, abs=0.001), "nothing is lost but the step"
    assert not breaches
