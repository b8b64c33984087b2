"""What is read of a Tesla gateway: recorded documents, and documents that misbehave."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.driver import DriverError
from edge.drivers.tesla_gateway import Options, driver, identity_of, readings_of
from tests.support.paths import SHARED_DATA
from tests.support.waiting import PATIENCE_S
from vpp_streams.process.ports import free_port

PAYLOADS = SHARED_DATA / "vendor_payloads"
recorded = pytest.mark.skipif(not PAYLOADS.is_dir(), reason=f"{PAYLOADS} is absent")
NOW, LONG_AGO, NEVER = (
    "2021-10-17T07:23:34.29-07:00",
    "2021-10-17T07:20:00Z",
    "0001-01-01T00:00:00Z",
)


def recording(name: str) -> Any:
    return json.loads((PAYLOADS / name).read_text())


def values(aggregates: Any, soe: Any = None, grid: Any = None) -> dict[str, float]:
    return {reading.quantity: reading.value for reading in readings_of(aggregates, soe, grid)}


def meter(power_w: Any, time: Any = NOW, **others: Any) -> dict[str, Any]:
    return {"instant_power": power_w, "last_communication_time": time, **others}


@recorded
def test_a_recorded_gateway_at_night() -> None:
    folder = "tesla_gateway_jrester"
    aggregates = recording(f"{folder}/meters_aggregates.json")
    found = values(aggregates, {"percentage": 52.5}, recording(f"{folder}/grid_status.json"))
    for quantity, name in (("battery_w", "battery"), ("grid_w", "site"), ("load_w", "load")):
        assert found[quantity] == aggregates[name]["instant_power"]
    assert found["soc"] == pytest.approx(0.5)
    assert found["islanded"] == 0
    assert found["frequency_hz"] == pytest.approx(50, abs=0.1)
    balance_w = found["battery_w"] + found["grid_w"] + found["solar_w"]
    assert found["load_w"] == pytest.approx(balance_w, abs=30)


@recorded
def test_what_a_recorded_gateway_can_do() -> None:
    folder = "tesla_gateway_jrester"
    system = recording(f"{folder}/system_status.json")
    identity = identity_of(recording(f"{folder}/status.json"), system)
    assert identity.rated_energy_wh == pytest.approx(0.95 * system["nominal_full_pack_energy"])
    assert identity.rated_discharge_w == system["max_discharge_power"]
    assert identity.firmware


def test_a_gateway_that_starts_and_shows_0_for_everything_reads_nothing() -> None:
    assert (
        values(dict.fromkeys(("site", "battery", "solar", "load"), meter(0)), {"percentage": 0})
        == {}
    )


def test_a_meter_that_is_not_read_now_is_left_out_and_with_it_the_load() -> None:
    meters = {"site": meter(500), "battery": meter(-200), "load": meter(1300)}
    found = values({**meters, "solar": meter(1000, LONG_AGO)})
    assert found == {"grid_w": 500, "battery_w": -200}
    found = values({**meters, "solar": meter(0, LONG_AGO)})
    assert found == {"grid_w": 500, "battery_w": -200, "load_w": 1300}
    found = values({**meters, "solar": meter(1000, NEVER)})
    assert found == {"grid_w": 500, "battery_w": -200}


def test_meters_that_are_not_there_are_not_measured() -> None:
    meters = {"site": meter(500), "solar": meter(0, num_meters_aggregated=0)}
    assert values(meters) == {"grid_w": 500}


@pytest.mark.parametrize(("percent", "soc"), [(5, 0), (3, 0), (100, 1), (52.5, 0.5)])
def test_the_withheld_part_of_the_battery_is_none(percent: float, soc: float) -> None:
    assert values({"site": meter(1)}, {"percentage": percent})["soc"] == pytest.approx(soc)


JUNK = st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5) | st.just([1])


@given(JUNK, JUNK, JUNK)
def test_whatever_the_fields_hold_nothing_is_raised_or_impossible(a: Any, b: Any, c: Any) -> None:
    good = {"site": meter(500), "battery": meter(-200), "load": meter(1300), "solar": meter(1000)}
    for bad in (a, meter(a, b), {"instant_power": a}, meter(1, frequency=b)):
        for name in good:
            for reading in readings_of({**good, name: bad}, {"percentage": c}, {"grid_status": a}):
                assert abs(reading.value) <= 1e7
                assert reading.quantity != "soc" or 0 <= reading.value <= 1
    readings_of(a, b, c)
    identity_of(a, b)


async def test_a_gateway_that_is_not_there_is_an_error_and_not_a_wait(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("x")
    at = Options(host=f"127.0.0.1:{free_port()}", password_file=str(tmp_path / "password"))
    gateway = driver(at)
    for call in (gateway.identify, gateway.read):
        with pytest.raises(DriverError, match="does not answer"):
            await asyncio.wait_for(call(), PATIENCE_S)
    assert not gateway.can.commandable
    with pytest.raises(DriverError, match="measured only"):
        await gateway.apply(0.0, 0)
    await gateway.close()


def test_a_password_that_is_not_there_is_named() -> None:
    with pytest.raises(ValueError, match="there is no file"):
        Options(host="x", password_file="/nowhere/password")
