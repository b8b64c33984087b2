"""Bounds of a command: ratings, the owner's reserve, the connection's room, and who counts."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.fleet_columns import Home, Unit, columns
from vpp_streams.domain.control.headroom import Headroom, headroom


def bounds(homes: Sequence[Home], commandable: list[bool] | None = None) -> Headroom:
    latest, ratings = columns(homes)
    n = len(latest.soc)
    who = np.ones(n, bool) if commandable is None else np.array(commandable)
    return headroom(
        latest,
        ratings,
        ratings.backup_reserve,
        reporting=np.ones(n, bool),
        commandable=who,
        horizon_s=60.0,
    )


def test_a_full_battery_discharges_at_its_rating_and_charges_no_more() -> None:
    room = bounds([Home((Unit(soc=1.0),))])
    assert room.most_w.tolist() == [5000.0]
    assert room.least_w.tolist() == [0.0]


def test_the_reserve_is_never_sold() -> None:
    room = bounds([Home((Unit(soc=0.2),), reserve=0.2), Home((Unit(soc=0.1),), reserve=0.2)])
    assert room.most_w.tolist() == [0.0, 0.0]
    assert room.least_w.tolist() == [-5000.0, -5000.0]


def test_what_is_left_above_the_reserve_lasts_for_the_horizon() -> None:
    # 0.1 % of 10 kWh above the reserve for a minute is 600 W.
    room = bounds([Home((Unit(soc=0.201),), reserve=0.2)])
    assert room.most_w[0] == pytest.approx(600)


def test_a_connection_that_may_not_export_leaves_the_load() -> None:
    home = Home((Unit(soc=0.9, load_w=1200.0, grid_w=1200.0),), export_limit_w=0.0)
    room = bounds([home])
    assert room.most_w.tolist() == [1200.0]
    assert room.no_room_w.tolist() == [3800.0]


def test_two_batteries_share_the_room_of_their_connection() -> None:
    units = (Unit(soc=0.9, discharge_w=4000.0), Unit(soc=0.9, discharge_w=2000.0))
    room = bounds([Home(units, export_limit_w=3000.0)])
    assert room.most_w.tolist() == [2000.0, 1000.0]


def test_what_cannot_be_commanded_uses_room_and_gives_none() -> None:
    units = (Unit(soc=0.9), Unit(soc=0.9, battery_w=2000.0, grid_w=-2000.0))
    room = bounds([Home(units, export_limit_w=3000.0)], commandable=[True, False])
    assert room.most_w.tolist() == [1000.0, 0.0]
    assert room.least_w[1] == 0.0


homes = st.lists(
    st.builds(
        Home,
        units=st.lists(
            st.builds(
                Unit,
                soc=st.floats(0, 1),
                battery_w=st.floats(-5000, 5000),
                load_w=st.floats(0, 8000),
                solar_w=st.floats(0, 8000),
                grid_w=st.floats(-8000, 8000),
                energy_wh=st.floats(0, 30_000),
                charge_w=st.floats(0, 6000),
                discharge_w=st.floats(0, 6000),
            ),
            min_size=1,
            max_size=3,
        ).map(tuple),
        reserve=st.floats(0, 1),
        export_limit_w=st.sampled_from([0.0, 3000.0, math.inf]),
        import_limit_w=st.sampled_from([1000.0, 9000.0, math.inf]),
    ),
    min_size=1,
    max_size=8,
)


@given(homes)
def test_bounds_hold_for_any_homes(some: list[Home]) -> None:
    latest, ratings = columns(some)
    room = bounds(some)
    assert (room.least_w <= 0).all()
    assert (room.most_w >= 0).all()
    assert (room.most_w <= ratings.rated_discharge_w + 1e-9).all()
    assert (room.least_w >= -ratings.rated_charge_w - 1e-9).all()
    below = latest.soc <= ratings.backup_reserve[ratings.site]
    assert (room.most_w[below] == 0).all()
    by_site = np.bincount(ratings.site, weights=room.most_w)
    load = np.bincount(ratings.site, weights=latest.load_w - latest.solar_w)
    assert (by_site <= (ratings.export_limit_w + load).clip(0) + 1e-6).all()
