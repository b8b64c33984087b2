"""Registers to values: whatever they hold, never a number that the device did not mean."""

import math
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sunspec2 import device

from edge.driver import Readings
from edge.drivers.sunspec_controls import Rates, SetPower, control_of
from edge.drivers.sunspec_map import Place, Values, is_known, is_sound, points_of, values_of
from edge.drivers.sunspec_quantities import MEASURED, identity_of, powers_of, readings_of
from schemas.bodies import Quality

SENTINELS = (0x8000, 0xFFFF, 0x7FC0, 0)


def encoded(model_id: int, **values: Any) -> tuple[Place, list[int]]:
    """A model with these raw values; all others are not implemented."""
    model = device.Model(model_id)
    for name, value in values.items():
        model.points[name].value = value
    data = model.get_mb()
    place = Place(model_id, 40070, model.len - 2)
    return place, list(struct.unpack(f">{len(data) // 2}H", data))


def decoded(model_id: int, **values: Any) -> Values:
    return values_of(*encoded(model_id, **values))


def one_reading(*models: Values, meter_exports: bool = False) -> dict[str, float]:
    found: Readings = readings_of(models, powers_of(models, meter_exports=meter_exports))
    return {reading.quantity: reading.value for reading in found}


@pytest.mark.parametrize("scale", [-10, -3, 0, 2, 10])
def test_a_value_has_its_scale(scale: int) -> None:
    assert decoded(103, W=-1234, W_SF=scale).number("W") == pytest.approx(-1234 * 10.0**scale)


@pytest.mark.parametrize("scale", [None, -11, 11, 32_767, -32_767])
def test_a_scale_that_cannot_be_is_no_value(scale: int | None) -> None:
    assert decoded(103, W=100, W_SF=scale).number("W") is None


@pytest.mark.parametrize(
    ("model_id", "point", "scale"), [(103, "W", "W_SF"), (701, "W", "W_SF"), (203, "W", "W_SF")]
)
def test_what_is_not_implemented_is_no_value(model_id: int, point: str, scale: str) -> None:
    assert decoded(model_id, **{scale: 0}).number(point) is None
    assert decoded(model_id, **{scale: 0, point: 0}).number(point) == 0.0


def test_a_float_that_is_not_a_number_is_no_value() -> None:
    place, registers = encoded(113, W=1500.0)
    at = points_of(place, ["W"])["W"].offset
    assert values_of(place, registers).number("W") == 1500.0
    for bits in (0x7FC00000, 0x7F800000, 0xFF800000, 0xFFFFFFFF):
        registers[at : at + 2] = (bits >> 16, bits & 0xFFFF)
        assert values_of(place, registers).number("W") is None


def test_registers_that_are_missing_have_no_values() -> None:
    place, registers = encoded(103, W=500, W_SF=0, Hz=5000, Hz_SF=-2)
    at = points_of(place, ["W"])["W"].offset
    short = values_of(place, registers[: at + 1])
    assert (short.number("W"), short.number("Hz")) == (None, None)


def test_registers_of_another_model_have_no_values() -> None:
    place, registers = encoded(103, W=500, W_SF=0)
    assert values_of(place, [203, *registers[1:]]).numbers == {}
    assert values_of(place, [registers[0], 9, *registers[2:]]).numbers == {}
    assert values_of(Place(103, 40070, 13), registers[:15]).numbers == {}


def test_models_are_known_by_their_number() -> None:
    assert is_known(103)
    assert not is_known(60_000)
    assert not is_sound(Place(103, 65_500, 50))
    assert not is_sound(Place(103, 40_000, 5000))


@given(st.data())
def test_whatever_the_registers_hold_a_reading_is_plausible(data: st.DataObject) -> None:
    """Random registers, sentinels and lengths: finite, in range, and never an exception."""
    models = []
    for model_id in data.draw(st.lists(st.sampled_from((*MEASURED, 1, 120, 702)), max_size=5)):
        length = data.draw(st.integers(0, 130))
        word = st.one_of(st.sampled_from(SENTINELS), st.integers(0, 0xFFFF))
        words = data.draw(st.lists(word, max_size=length))
        models.append(values_of(Place(model_id, 40070, length), [model_id, length, *words]))
    identity_of(models)
    for quantity, value in one_reading(*models).items():
        assert math.isfinite(value)
        assert abs(value) < 3e8
        assert quantity != "soc" or 0 <= value <= 1
        assert quantity not in ("solar_w", "load_w") or value >= 0
        assert quantity not in ("frequency_hz", "voltage_v") or value > 0


def trackers(**powers: int | None) -> Values:
    names = list(powers)
    model = device.Model(160, data={"N": len(names), "module": [{"IDStr": n} for n in names]})
    model.points["DCW_SF"].value = 0
    for module, power in zip(model.groups["module"], powers.values(), strict=True):
        module.points["DCW"].value = power
    data = model.get_mb()
    words = struct.unpack(f">{len(data) // 2}H", data)
    return values_of(Place(160, 40070, model.len - 2), words)


def test_a_hybrid_inverter_names_the_trackers_of_its_battery() -> None:
    storage = decoded(124, ChaState=61, ChaState_SF=0)
    inverter = decoded(103, W=3800, W_SF=0)
    charging = trackers(MPPT1=3000, MPPT2=2000, StCha3=1100, StDisCha4=0)
    found = one_reading(storage, inverter, charging)
    assert (found["solar_w"], found["battery_w"], found["soc"]) == (5000, -1100, 0.61)
    assert one_reading(storage, inverter, trackers(MPPT1=1, StCha3=0, StDisCha4=700))[
        "battery_w"
    ] == (700)


def test_a_part_that_is_not_measured_makes_no_sum() -> None:
    storage = decoded(124, ChaState=61, ChaState_SF=0)
    found = one_reading(storage, trackers(MPPT1=3000, MPPT2=None, StCha3=None, StDisCha4=0))
    assert found == {"soc": 0.61}


def test_an_inverter_with_a_battery_alone_is_the_battery() -> None:
    storage = decoded(713, SoC=4200, Pct_SF=-2)
    found = one_reading(storage, decoded(701, W=-900, W_SF=0))
    assert found == {"battery_w": -900, "soc": 0.42}


def test_an_inverter_whose_panels_are_silent_is_not_taken_for_its_battery() -> None:
    storage, inverter = decoded(124, ChaState=61, ChaState_SF=0), decoded(103, W=3000, W_SF=0)
    silent = trackers(MPPT1=None, StCha3=None, StDisCha4=None)
    assert one_reading(storage, inverter, silent) == {"soc": 0.61}
    assert one_reading(storage, inverter, trackers(MPPT1=None)) == {"soc": 0.61}


def test_a_solar_inverter_has_no_battery_and_takes_nothing_from_the_grid() -> None:
    assert one_reading(decoded(103, W=-8, W_SF=0)) == {"solar_w": 0}
    meter = decoded(203, W=500, W_SF=0)
    found = one_reading(decoded(103, W=1500, W_SF=0), meter)
    assert found == {"solar_w": 1500, "grid_w": 500, "load_w": 2000}
    assert one_reading(decoded(103, W=1500, W_SF=0), meter, meter_exports=True) == {
        "solar_w": 1500, "grid_w": -500, "load_w": 1000,
    }  # fmt: skip


def test_a_battery_that_is_only_the_difference_is_estimated() -> None:
    models = [decoded(802, SoC=50, SoC_SF=0), decoded(103, W=100, W_SF=0), trackers(MPPT1=1000)]
    powers = powers_of(models, meter_exports=False)
    assert (powers.battery_w, powers.battery_quality) == (-900, Quality.ESTIMATED)


@pytest.mark.parametrize(
    ("connected", "mode", "islanded"), [(1, 1, 0.0), (0, 2, 1.0), (0, 1, None), (None, 2, None)]
)
def test_off_the_grid_is_what_the_device_says(
    connected: int | None, mode: int, islanded: float | None
) -> None:
    found = one_reading(decoded(701, ConnSt=connected, DERMode=mode))
    assert found.get("islanded") == islanded


def test_model_704_sets_the_timer_before_the_power_and_enables_last() -> None:
    place, registers = encoded(704, WSet_SF=1, WSetRvrtTms=0)
    control = control_of([place], [values_of(place, registers)], charge_w=0, discharge_w=0)
    assert isinstance(control, SetPower)
    points = points_of(place, ["WSetEna", "WSetMod", "WSet", "WSetEnaRvrt", "WSetRvrtTms"])
    at = {name: place.address + point.offset for name, point in points.items()}
    assert control.hold(-2500.0, 30) == [
        (at["WSetEnaRvrt"], (0,)),
        (at["WSetRvrtTms"], (0, 30)),
        (at["WSetMod"], (1,)),
        (at["WSet"], (0xFFFF, 0x10000 - 250)),
        (at["WSetEna"], (1,)),
    ]
    assert control.release() == [(at["WSetEna"], (0,))]


def test_model_124_leaves_the_battery_one_power() -> None:
    values = {"InOutWRte_SF": -2, "InOutWRte_RvrtTms": 0, "ChaGriSet": 0, "WChaMax": 4000}
    place, registers = encoded(124, WChaMax_SF=0, **values)
    models = [values_of(place, registers)]
    control = control_of([place], models, charge_w=4000, discharge_w=5000)
    assert isinstance(control, Rates)
    written = dict(control.hold(-1000.0, 40))
    points = points_of(
        place, ["StorCtl_Mod", "OutWRte", "InWRte", "InOutWRte_RvrtTms", "ChaGriSet"]
    )
    by_name = {name: written[place.address + p.offset][0] for name, p in points.items()}
    assert by_name == {
        "StorCtl_Mod": 3,
        "OutWRte": 0x10000 - 2000,  # -20 % of 5 kW
        "InWRte": 2500,  # 25 % of 4 kW
        "InOutWRte_RvrtTms": 40,
        "ChaGriSet": 1,
    }
    assert control.release() == [(place.address + points["StorCtl_Mod"].offset, (0,))]


@pytest.mark.parametrize(
    "values",
    [
        {"WSet_SF": 0},  # no timer
        {"WSetRvrtTms": 0},  # no scale
        {"WSetRvrtTms": 0, "WSet_SF": 12},
    ],
)
def test_a_device_that_cannot_end_a_power_by_itself_is_not_commanded(
    values: dict[str, int],
) -> None:
    place, registers = encoded(704, **values)
    assert control_of([place], [values_of(place, registers)], charge_w=1, discharge_w=1) is None


def test_a_hybrid_inverter_without_a_battery_lists_model_124_and_has_none() -> None:
    listed = {"WChaMax": 0.0, "ChaState": 0.0, "InOutWRte_SF": -2.0, "InOutWRte_RvrtTms": 0.0}
    models = [
        Values(103, {"W": 900.0}, {}),
        Values(120, {"WRtg": 10_000.0}, {}),
        Values(124, {**listed}, {}),
    ]
    identity = identity_of(models)
    assert (identity.rated_charge_w, identity.rated_discharge_w) == (0, 0)
    powers = powers_of(models, meter_exports=False)
    assert {r.quantity: r.value for r in readings_of(models, powers)} == {"solar_w": 900}
    places = [Place(124, 40_000, 24)]
    assert control_of(places, models, charge_w=0.0, discharge_w=0.0) is None
