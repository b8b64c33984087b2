"""What an IQ Gateway's documents say together: which meters count, and what is an estimate."""

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.drivers.enphase_readings import Documents, fields_of
from edge.drivers.plausible import readings_from
from schemas.bodies import Quality
from tests.support.enphase_documents import (
    CONSUMPTION,
    NOON_S,
    PRODUCTION,
    STORAGE,
    battery,
    channel,
    home,
    inverter,
    meter,
    reading,
    relay,
    security,
)

OK, ESTIMATED = Quality.OK, Quality.ESTIMATED
NAMES = {
    "meters": "/ivp/meters",
    "readings": "/ivp/meters/readings",
    "power": "/ivp/ensemble/power",
    "security": "/ivp/ensemble/secctrl",
    "inventory": "/ivp/ensemble/inventory",
    "inverters": "/api/v1/production/inverters",
}
Found = dict[str, tuple[float, Quality]]


def read(**others: Any) -> Found:
    """The readings of the home by noon with some documents replaced."""
    pages = home()
    documents = Documents(**{**{name: pages[path] for name, path in NAMES.items()}, **others})
    return {r.quantity: (r.value, r.quality) for r in readings_from(fields_of(documents))}


def no_batteries() -> dict[str, Any]:
    nothing = security(Max_energy=0, Enc_max_available_capacity=0, ENC_agg_soc=0, agg_soc=0)
    return {"power": [], "security": nothing, "inventory": []}


TWO_METERS = [meter(PRODUCTION, "production"), meter(CONSUMPTION, "net-consumption")]


def test_a_home_by_noon() -> None:
    assert read() == {
        "battery_w": (-1700, OK),
        "grid_w": (-500, OK),
        "solar_w": (3000, OK),
        "load_w": (800, ESTIMATED),
        "soc": (0.62, OK),
        "frequency_hz": (60, OK),
        "voltage_v": (120, OK),
        "islanded": (0, OK),
    }


def test_without_a_meter_the_batteries_own_reports_are_an_estimate() -> None:
    found = read(meters=TWO_METERS)
    assert found["battery_w"] == (-1610, ESTIMATED)
    assert found["load_w"] == (890, ESTIMATED)
    assert found["grid_w"] == (-500, OK)


def test_without_batteries_the_load_needs_none() -> None:
    found = read(meters=TWO_METERS, **no_batteries())
    assert found["load_w"] == (2500, ESTIMATED)
    assert not {"battery_w", "soc"} & found.keys()


def test_whether_there_are_batteries_has_to_be_known_for_a_load() -> None:
    for unknown in ({"inventory": None}, {"security": None}):
        assert "load_w" not in read(meters=TWO_METERS, **{**no_batteries(), **unknown})


def test_a_meter_around_the_load_is_the_load_and_not_the_grid() -> None:
    meters = [meter(PRODUCTION, "production"), meter(CONSUMPTION, "total-consumption")]
    readings = [reading(PRODUCTION, 3000), reading(CONSUMPTION, 800)]
    found = read(meters=meters, readings=readings, **no_batteries())
    assert found["load_w"] == (800, OK)
    assert found["grid_w"] == (-2200, ESTIMATED)


@pytest.mark.parametrize(
    "wrong",
    [{"state": "disabled"}, {"meteringStatus": "check-wiring"}, {"meteringStatus": None}],
)
def test_a_meter_that_is_not_in_order_is_not_measured(wrong: dict[str, Any]) -> None:
    meters = [*TWO_METERS[:1], meter(CONSUMPTION, "net-consumption", **wrong)]
    found = read(meters=meters, **no_batteries())
    assert not {"grid_w", "load_w"} & found.keys()
    assert found["solar_w"] == (3000, OK)


def test_two_meters_of_one_kind_are_none() -> None:
    assert "grid_w" not in read(meters=[*TWO_METERS, meter(STORAGE, "net-consumption")])


def test_another_makers_panels_leave_the_solar_power_open() -> None:
    found = read(meters=[*TWO_METERS, meter(704645120, "pv3p")])
    assert not {"solar_w", "load_w"} & found.keys()


@pytest.mark.parametrize("time", [NOON_S - 61, 0])
def test_a_meter_that_is_not_read_now_is_left_out(time: int) -> None:
    old = [reading(PRODUCTION, 3000), reading(CONSUMPTION, -500, timestamp=time)]
    found = read(readings=old)
    assert not {"grid_w", "load_w"} & found.keys()


def test_a_meter_whose_age_is_not_known_is_an_estimate() -> None:
    some = [reading(PRODUCTION, 3000), reading(CONSUMPTION, -500, timestamp=None)]
    assert read(readings=some)["grid_w"] == (-500, ESTIMATED)


def test_a_storage_meter_of_one_phase_is_not_measured() -> None:
    phases = [channel(-850), channel(0.0, actEnergyDlvd=0.0, actEnergyRcvd=0.0)]
    one = [reading(PRODUCTION, 3000), reading(STORAGE, -850, channels=phases)]
    found = read(readings=[*one, reading(CONSUMPTION, -500)])
    assert not {"battery_w", "load_w"} & found.keys()


@pytest.mark.parametrize("wrong", [{"communicating": False}, {"last_rpt_date": NOON_S - 901}])
def test_batteries_that_do_not_report_have_no_state_of_charge(wrong: dict[str, Any]) -> None:
    inventory = [{"type": "ENCHARGE", "devices": [battery("b1"), battery("b2", **wrong)]}]
    found = read(inventory=inventory)
    assert "soc" not in found
    assert found["battery_w"] == (-1700, OK)
    assert not {"soc", "battery_w"} & read(inventory=inventory, meters=TWO_METERS).keys()


def test_a_battery_without_a_power_leaves_their_sum_empty() -> None:
    one = {"devices:": [{"serial_num": "b1", "real_power_mw": -800_000, "soc": 61}]}
    silent = {"devices:": [*one["devices:"], {"serial_num": "b2", "real_power_mw": None}]}
    for power in (one, silent):
        assert "battery_w" not in read(meters=TWO_METERS, power=power)


def test_ac_batteries_leave_the_battery_open() -> None:
    both = security(Max_energy=12_480, ACB_agg_soc=30, agg_soc=55)
    found = read(meters=TWO_METERS, security=both)
    assert not {"soc", "battery_w", "load_w"} & found.keys()


def test_without_a_production_meter_the_microinverters_are_an_estimate() -> None:
    ac_battery = inverter(-260, devType=11)
    found = read(meters=[], readings=None, inverters=[inverter(290), inverter(300), ac_battery])
    assert found["solar_w"] == (590, ESTIMATED)
    stale = [inverter(290), inverter(300, lastReportDate=NOON_S - 1200)]
    assert read(meters=[], readings=None, inverters=stale)["solar_w"] == (290, ESTIMATED)


def test_a_production_meter_that_is_lost_is_not_replaced_by_them() -> None:
    assert "solar_w" not in read(readings=[reading(CONSUMPTION, -500)])


@pytest.mark.parametrize(
    ("device", "islanded"), [(relay("open"), 1), (relay("closed"), 0), (relay("closing"), None),
                             (relay("open", communicating=False), None)],
)  # fmt: skip
def test_the_relay_says_whether_the_home_is_islanded(device: Any, islanded: float | None) -> None:
    found = read(inventory=[{"type": "ENPOWER", "devices": [device]}])
    assert found.get("islanded", (None, OK))[0] == islanded


JUNK = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=3,
)
LIMIT_W = 1e7


def slots(node: Any) -> list[tuple[Any, Any]]:
    """(container, key) of each value at any depth."""
    children = list(node.items()) if isinstance(node, dict) else list(enumerate(node))
    here = [(node, key) for key, _ in children]
    return here + [
        s for _, child in children if isinstance(child, dict | list) for s in slots(child)
    ]


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 10_000), JUNK, st.sampled_from([[], TWO_METERS]))
def test_one_field_of_anything_is_never_raised_or_impossible(
    place: int, junk: Any, meters: list[Any]
) -> None:
    pages = home()
    if meters:
        pages["/ivp/meters"] = meters
    container, key = slots(pages)[place % len(slots(pages))]
    kept, container[key] = container[key], junk
    documents = Documents(**{name: pages[path] for name, path in NAMES.items()})
    for each in readings_from(fields_of(documents)):
        assert math.isfinite(each.value)
        assert abs(each.value) <= LIMIT_W
        assert each.quantity != "soc" or 0 <= each.value <= 1
    container[key] = kept


@pytest.mark.parametrize("meters", [None, TWO_METERS])
@pytest.mark.parametrize("instead", ["deleted", None, "", "N/A", [], {}])
def test_a_field_left_out_never_makes_another_value_look_measured(
    meters: Any, instead: Any
) -> None:
    pages = home()
    if meters is not None:
        pages["/ivp/meters"] = [dict(each) for each in meters]
    whole = read(**{name: pages[path] for name, path in NAMES.items()})
    wrong = []
    for container, key in slots(pages):
        if isinstance(container, list):
            continue
        kept = dict(container)
        if instead == "deleted":
            del container[key]
        else:
            container[key] = instead
        found = read(**{name: pages.get(path) for name, path in NAMES.items()})
        container.clear()
        container.update(kept)
        for name, (value, quality) in found.items():
            if quality is OK and whole.get(name) not in ((value, OK), (value, ESTIMATED)):
                wrong.append((key, name, value))
    assert wrong == []
