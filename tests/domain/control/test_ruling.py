"""The power that a ruling calls for: targets within limits, peaks shaved, feeders bounded."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.control_requests import hold, limit, target
from vpp_streams.domain.control.ruling import Measured, Ruling, called_power

NET = Measured(0.0, {"": 60_000.0, "f1": 20_000.0})


def test_a_hold_and_nothing_ask_for_nothing() -> None:
    assert called_power(Ruling("idle"), NET, False) is None
    assert called_power(Ruling("hold", hold=hold()), NET, True) is None
    resting = Ruling("self_consumption", target(export_w=None))
    assert called_power(resting, NET, False) is None


def test_a_target_is_asked_for_as_it_is() -> None:
    asked = called_power(Ruling("target", target()), NET, False)
    assert asked is not None
    assert (asked.export_w, asked.request_id, asked.wanted_w) == (100_000.0, "t1", None)


def test_a_limit_of_the_region_goes_before_the_target_and_is_named() -> None:
    exports = limit("l1", import_limit_w=None, export_limit_w=10_000.0)
    asked = called_power(Ruling("target", target(), (exports,)), NET, False)
    assert asked is not None
    assert asked.export_w == 90_000.0, "80 kW of load and 10 kW of export"
    assert asked.wanted_w == 100_000.0
    imports = limit("l2", import_limit_w=50_000.0)
    charging = called_power(Ruling("target", target(export_w=-40_000.0), (imports,)), NET, False)
    assert charging is not None
    assert charging.export_w == 30_000.0, "80 kW of load, of which 50 may be imported"


def test_a_peak_is_shaved_only_while_it_would_be_one() -> None:
    ruling = Ruling("limit", limits=(limit(import_limit_w=70_000.0),))

    def shaved(net_w: float, battery_w: float, engaged: bool) -> float | None:
        asked = called_power(ruling, Measured(battery_w, {"": net_w}), engaged)
        return None if asked is None else asked.export_w

    assert shaved(60_000.0, 0.0, False) is None
    assert shaved(90_000.0, 25_000.0, False) is None, "self-consumption does it already"
    assert shaved(90_000.0, 0.0, False) == 20_000.0
    assert shaved(90_000.0, 20_000.0, True) == 20_000.0, "it goes on while it is needed"
    assert shaved(68_000.0, 0.0, True) == 0.0, "and lets go with a margin"
    assert shaved(66_000.0, 0.0, True) is None


def test_a_feeder_is_bounded_beside_any_target() -> None:
    ruling = Ruling(
        "target",
        target(),
        (
            limit("a", feeder="f1", import_limit_w=5_000.0),
            limit("b", feeder="f1", import_limit_w=None, export_limit_w=1_000.0),
        ),
    )
    asked = called_power(ruling, NET, False)
    assert asked is not None
    assert asked.export_w == 100_000.0
    assert asked.feeder_limits_w == {"f1": (15_000.0, 21_000.0)}


@given(
    st.floats(-1e6, 1e6),
    st.floats(-1e6, 1e6),
    st.floats(0, 1e6),
    st.floats(0, 1e6),
    st.booleans(),
)
def test_what_is_asked_never_breaks_a_limit(
    export_w: float, net_w: float, import_w: float, most_export_w: float, engaged: bool
) -> None:
    both = limit(import_limit_w=import_w, export_limit_w=most_export_w)
    asked = called_power(
        Ruling("target", target(export_w=export_w), (both,)), Measured(0.0, {"": net_w}), engaged
    )
    assert asked is not None
    grid_w = net_w - asked.export_w
    assert -most_export_w - 1e-6 <= grid_w <= import_w + 1e-6
    assert math.isfinite(asked.export_w)
    if -most_export_w <= net_w - export_w <= import_w:
        assert asked.export_w == pytest.approx(export_w)


def test_at_the_connection_the_batteries_make_up_for_load_and_sun() -> None:
    asked = target(export_w=-20_000.0, metered_at="connection")
    for net_w, battery_w in ((50_000.0, 30_000.0), (-5_000.0, -25_000.0)):
        called = called_power(Ruling("target", asked), Measured(0.0, {"": net_w}), False)
        assert called is not None
        assert (called.export_w, called.wanted_w) == (battery_w, None)
    held = Ruling("target", asked, (limit(import_limit_w=10_000.0),))
    called = called_power(held, Measured(0.0, {"": 50_000.0}), False)
    assert called is not None
    assert (called.export_w, called.wanted_w) == (40_000.0, 30_000.0)
