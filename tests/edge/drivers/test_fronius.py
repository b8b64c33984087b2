"""The Fronius driver on recorded answers of real inverters, and on devices that misbehave."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.clock import monotonic_ms
from edge.driver import DriverError
from edge.drivers.fronius import Options, driver, identity_of, readings_of
from schemas.bodies import Quality
from tests.support.http_device import answer, http_device
from tests.support.modbus_world import modbus_world
from tests.support.paths import SHARED_DATA

PAYLOADS = SHARED_DATA / "vendor_payloads"
recorded = pytest.mark.skipif(not PAYLOADS.is_dir(), reason=f"{PAYLOADS} is absent")
API = "/solar_api/v1"


def data_of(name: str) -> Any:
    return json.loads((PAYLOADS / name).read_text())["Body"]["Data"]


def values(data: Any) -> dict[str, tuple[float, Quality]]:
    return {r.quantity: (r.value, r.quality) for r in readings_of(data)}


def flow(mode: str = "bidirectional", **site: Any) -> Any:
    return {"Site": {"Mode": mode, **site}, "Inverters": {"1": {"SOC": 50}}}


@recorded
def test_a_recorded_gen24_with_a_battery() -> None:
    found = values(
        data_of("home_assistant_core/fronius_gen24_storage__GetPowerFlowRealtimeData.json")
    )
    assert found["grid_w"] == (pytest.approx(2274.9), Quality.OK)
    assert found["load_w"] == (pytest.approx(2459.309, abs=0.01), Quality.OK)
    assert found["solar_w"] == (pytest.approx(216.43, abs=0.01), Quality.OK)
    assert found["battery_w"] == (pytest.approx(0.159, abs=0.001), Quality.OK)
    assert found["soc"] == (pytest.approx(0.046), Quality.OK)
    storage = data_of("home_assistant_core/fronius_gen24_storage__GetStorageRealtimeData.json")
    identity = identity_of(None, storage)
    assert identity.model == "Fronius BYD Battery-Box Premium HV"
    assert identity.rated_energy_wh == 16588


@recorded
def test_a_recorded_night_without_a_battery_or_a_meter_at_the_grid() -> None:
    found = values(data_of("fronius_pyfronius/v1__solar_api__v1__GetPowerFlowRealtimeData.fcgi"))
    assert found == {
        "grid_w": (pytest.approx(367.722145), Quality.ESTIMATED),
        "load_w": (pytest.approx(367.722145), Quality.ESTIMATED),
    }


def test_without_a_meter_there_is_no_grid_and_no_load() -> None:
    assert values(flow("produce-only", P_Grid=0, P_Load=0, P_PV=900)).keys() == {"solar_w", "soc"}


def test_two_batteries_are_an_estimate() -> None:
    data = {"Site": {}, "Inverters": {"1": {"SOC": 20}, "2": {"SOC": 40}, "3": {"SOC": None}}}
    assert values(data)["soc"] == (pytest.approx(0.3), Quality.ESTIMATED)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=3,
)


@given(JSON, JSON, JSON)
def test_whatever_the_fields_hold_nothing_is_raised_or_impossible(a: Any, b: Any, c: Any) -> None:
    for data in (a, {"Site": a, "Inverters": b}, flow(P_Akku=a, P_Grid=b, P_PV=c, P_Load=c)):
        for reading in readings_of(data):
            assert abs(reading.value) <= 1e7
            assert reading.quantity != "soc" or 0 <= reading.value <= 1
    identity_of(a, {"0": {"Controller": b}})


def told(data: Any, code: int = 0) -> bytes:
    head = {"Status": {"Code": code, "Reason": "too early"}}
    return answer(json.dumps({"Head": head, "Body": {"Data": data}}).encode())


BATTERY = {"0": {"Controller": {"Capacity_Maximum": 9000, "Details": {"Model": "B"}}}}


def pages(power_flow: bytes) -> dict[str, bytes]:
    return {
        f"{API}/GetPowerFlowRealtimeData.fcgi": power_flow,
        f"{API}/GetStorageRealtimeData.cgi": told(BATTERY),
        f"{API}/GetInverterInfo.cgi": told({"1": {"PVPower": 8000}}),
    }


async def test_it_is_measured_by_its_page_and_commanded_by_sunspec() -> None:
    async with (
        modbus_world("hybrid") as world,
        http_device(pages(told(flow(P_Akku=-300, P_Grid=800, P_Load=-500)))) as port,
    ):
        modbus = world.driver.link.address.port
        fronius = driver(Options(host="127.0.0.1", port=port, modbus_port=modbus))
        identity = await fronius.identify()
        assert (identity.rated_energy_wh, identity.rated_solar_w) == (9000, 8000)
        assert identity.rated_discharge_w == 5000
        assert fronius.can.commandable
        found = {r.quantity: r.value for r in await fronius.read()}
        assert (found["battery_w"], found["grid_w"], found["load_w"]) == (-300, 800, 500)
        assert found["frequency_hz"] == 50
        await fronius.apply(1500.0, monotonic_ms() + 60_000)
        assert (await world.inverter.advance()).battery_w == pytest.approx(1500, abs=2)
        await fronius.release()
        assert (await world.inverter.advance()).battery_w != pytest.approx(1500, abs=2)
        await fronius.close()


async def test_without_modbus_it_is_measured_only() -> None:
    async with http_device(pages(told(flow(P_Grid=1)))) as port:
        fronius = driver(Options(host="127.0.0.1", port=port))
        await fronius.identify()
        assert not fronius.can.set_power
        assert {"battery_w", "soc", "grid_w"} <= fronius.can.measure
        with pytest.raises(DriverError, match="measured only"):
            await fronius.apply(0.0, 0)


FAULTS = {
    "an error": told({}, code=8),
    "another page": answer(b"<html>", "200 OK"),
    "not found": answer(b"", "404 Not Found"),
    "cut short": told(flow())[:-20],
    "nothing": b"",
    "half a head": b"HTTP/1.1 200 OK\r\nContent-Len",
    "no HTTP": b"SSH-2.0-dropbear\r\n\r\n",
    "a chunk is missing": answer(b"5\r\n{}   \r\n", headers="Transfer-Encoding: chunked\r\n"),
    "a chunk of no size": answer(b"x\r\n{}\r\n", headers="Transfer-Encoding: chunked\r\n"),
    "deep": answer(b"[" * 100_000),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_an_answer_that_is_wrong_is_an_error(fault: str) -> None:
    async with http_device(pages(FAULTS[fault])) as port:
        with pytest.raises(DriverError):
            await driver(Options(host="127.0.0.1", port=port)).read()


async def test_a_chunked_answer_is_joined() -> None:
    body = json.dumps({"Head": {"Status": {"Code": 0}}, "Body": {"Data": flow(P_Grid=7)}}).encode()
    parts = b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in (body[:9], body[9:])) + b"0\r\n\r\n"
    page = answer(parts, headers="Transfer-Encoding: chunked\r\n")
    async with http_device(pages(page)) as port:
        found = await driver(Options(host="127.0.0.1", port=port)).read()
        assert {r.quantity: r.value for r in found} == {"grid_w": 7, "soc": 0.5}
