"""What a dispatch made each site give: measured, in its direction, by those who took part."""

import numpy as np
import pyarrow as pa
import pytest

from tests.support.settle_world import (
    BERLIN,
    INTERVAL,
    SHARE_60,
    START,
    award,
    delivery,
    energies,
    enrolled,
    everybody,
    fleet,
    floats,
    opt_out,
    terms,
)
from vpp_streams.domain.arrays import Mask
from vpp_streams.domain.market.overrides import Override
from vpp_streams.domain.settle.attribution import (
    capacity_weights,
    delivered_in,
    direction,
    energy_weights,
    from_no_battery,
    from_ten_of_ten,
    spans_of,
    taking_part,
)
from vpp_streams.domain.settle.baselines import Calendar
from vpp_streams.domain.settle.intervals import Energies, Span

SITES = pa.array(["a", "b"])
SPAN = (START, START + INTERVAL)


def at_home(grid_wh: float, battery_wh: float, coverage: float = 1.0) -> Energies:
    none = floats(np.nan)
    return Energies(
        floats(battery_wh), floats(grid_wh), none, none, floats(coverage), np.zeros(1, np.int64)
    )


def test_against_no_battery_a_site_delivers_what_its_battery_gives() -> None:
    found = from_no_battery(at_home(grid_wh=-300.0, battery_wh=400.0))
    assert found.energy_wh.tolist() == [300.0]
    assert found.baseline_wh.tolist() == [-100.0]
    assert found.delivered_wh.tolist() == [400.0]


def test_a_battery_counts_where_nobody_measured_the_connection() -> None:
    found = from_no_battery(at_home(grid_wh=np.nan, battery_wh=400.0))
    assert np.isnan(found.energy_wh[0])
    assert np.isnan(found.baseline_wh[0])
    assert found.delivered_wh.tolist() == [400.0]


def test_against_similar_days_a_site_delivers_what_it_takes_less() -> None:
    found = from_ten_of_ten(at_home(grid_wh=50.0, battery_wh=np.nan), floats(250.0))
    assert found.energy_wh.tolist() == [-50.0]
    assert found.baseline_wh.tolist() == [-250.0]
    assert found.delivered_wh.tolist() == [200.0]


def test_energy_that_nobody_measured_is_not_saved() -> None:
    """Measured for a half of the time, 25 Wh taken; 125 of 250 Wh were expected then."""
    found = from_ten_of_ten(at_home(25.0, np.nan, coverage=0.5), floats(250.0))
    assert found.delivered_wh.tolist() == [100.0]
    nothing = from_ten_of_ten(at_home(np.nan, np.nan, coverage=0.0), floats(250.0))
    assert np.isnan(nothing.delivered_wh[0])


def test_each_site_is_measured_by_the_method_of_its_program() -> None:
    days = terms(program_id="days", baseline="ten_of_ten")
    known = enrolled(["a", "b"], SHARE_60, days)

    def history(span: Span) -> Energies:
        return energies([0.0, -100.0]) if span[0] != START else energies([40.0, 40.0])

    def never(_day: object) -> Mask:
        return np.zeros(2, bool)

    found = delivered_in(
        SPAN,
        START,
        energies([40.0, 40.0]),
        known,
        history=history,
        calendar=Calendar(BERLIN, never),
    )
    assert found.delivered_wh.tolist() == pytest.approx([40.0, 140.0])


@pytest.mark.parametrize(("awarded_w", "needed_w", "way"), [
    (6_000.0, None, 1), (-6_000.0, None, -1), (0.0, None, 0), (-6_000.0, 2_000.0, 1),
])  # fmt: skip
def test_a_direction_is_that_of_the_batteries(
    awarded_w: float, needed_w: float | None, way: int
) -> None:
    """At a connection, what batteries had to do may be the opposite of the award."""
    given = award(energy_w=awarded_w)
    assert direction(given, delivery(given, 0.0, needed_w=needed_w)) == way


def test_idle_sites_wrong_ways_and_what_was_not_measured_have_no_weight() -> None:
    delivered_wh = floats(400.0, 0.0, -50.0, np.nan, 100.0)
    takes_part = np.array([True, True, True, True, False])
    assert energy_weights(delivered_wh, 1, takes_part).tolist() == [400_000, 0, 0, 0, 0]
    assert energy_weights(delivered_wh, -1, takes_part).tolist() == [0, 0, 50_000, 0, 0]
    assert energy_weights(delivered_wh, 0, everybody(5)).tolist() == [0] * 5


def test_capacity_that_was_not_measured_was_not_there() -> None:
    weights = capacity_weights(fleet("a", "b"), floats(1.0, 0.25), 0.1, everybody(2))
    assert weights.tolist() == [500_000, 125_000]


def test_an_owner_who_left_takes_no_part() -> None:
    left = opt_out("b", START + INTERVAL - 1, START + INTERVAL + 1, 0)
    assert taking_part(SITES, SPAN, [left]).tolist() == [True, False]
    later = opt_out("b", START + INTERVAL, START + INTERVAL + 1, 0)
    assert taking_part(SITES, SPAN, [later]).tolist() == [True, True]
    assert taking_part(SITES, SPAN, []).tolist() == [True, True]


def test_overrides_are_stretches_of_time() -> None:
    assert spans_of([Override(1, 2, ("x",)), Override(5, 9, ())]) == ((1, 2), (5, 9))
