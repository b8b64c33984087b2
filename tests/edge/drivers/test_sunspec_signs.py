"""Which way meter and battery count, from samples of what a device reads."""

import pytest

from edge.drivers.sunspec_quantities import Powers
from edge.drivers.sunspec_signs import battery_sign, meter_sign
from schemas.bodies import Quality


def sample(
    ac_w: float | None = None,
    grid_w: float | None = None,
    solar_w: float | None = None,
    battery_w: float | None = None,
) -> Powers:
    return Powers(ac_w, solar_w, battery_w, Quality.OK, grid_w)


@pytest.mark.parametrize(
    ("samples", "sign"),
    [
        ([sample(4000, -3500)], "open"),  # 500 W of load, or 7500 W
        ([sample(4000, 3500)], "open"),  # 7500 W of load, or 500 W
        ([sample(0, 500)], "as assumed"),  # at night
        ([sample(0, -500)], "reversed"),
        ([sample(500, 900)], "as assumed"),
        ([sample(-3000, 3400)], "as assumed"),  # charged from the grid
        ([sample(-3000, -3400)], "reversed"),
        ([sample(4000, 3500), sample(-3000, -3400)], "reversed"),
        ([sample(4000, 3500), sample(-3000, 3400)], "as assumed"),
        ([sample(4000, -9000)], "reversed"),
        ([sample(-3000, 100)], "neither"),
        ([sample(4000, 3500), sample(100, -3000), sample(100, 3000)], "neither"),
        ([sample(0, 30)], "open"),  # within the error of meters
        ([sample(ac_w=4000), sample(grid_w=100)], "open"),
    ],
)
def test_the_meters_sign_is_the_one_that_leaves_no_load_negative(
    samples: list[Powers], sign: str
) -> None:
    assert meter_sign(samples) == sign


@pytest.mark.parametrize(
    ("samples", "sign"),
    [
        ([sample(2900, None, 1000, 2000)], "as assumed"),  # 100 W are lost
        ([sample(-950, None, 1000, 2000)], "reversed"),
        ([sample(1000, None, 1000, 30)], "open"),
        ([sample(1000, None, 1000, 30), sample(2900, None, 1000, 2000)], "as assumed"),
        ([sample(5000, None, 1000, 2000)], "neither"),
        ([sample(5000, None, None, 2000)], "open"),
    ],
)
def test_the_batterys_sign_is_the_one_that_makes_up_the_ac_power(
    samples: list[Powers], sign: str
) -> None:
    assert battery_sign(samples) == sign
