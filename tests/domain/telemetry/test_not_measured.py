"""What a document does not measure is empty, and a direction that it does not report is too."""

import json
import math
from typing import Any

import pytest

from schemas.telemetry import Quality, Reading, Rejection
from vpp_streams.domain.telemetry.normalize import guess_vendor, normalize

NOW = 1_800_000_000_000
T = 1_795_818_594
STAMP = "2026-11-27T22:08:04+00:00"
NAN = math.nan


def read(vendor: str, document: object) -> Reading | Rejection:
    return normalize(vendor, json.dumps(document).encode(), None, 1000, NOW)


def reading(vendor: str, document: object) -> Reading:
    found = read(vendor, document)
    assert isinstance(found, Reading), found
    return found


def powers(found: Reading) -> Any:
    """Battery, grid, solar and load, W."""
    values = (found.battery_w, found.grid_w, found.solar_w, found.load_w)
    return pytest.approx(values, nan_ok=True)


def envoy(production: int, net: int, total: int, storage: int = 0) -> dict[str, Any]:
    """``production.json`` with as many enabled meters of each kind."""
    eim = {"type": "eim", "readingTime": T}
    inverters = {"type": "inverters", "activeCount": 20, "readingTime": T - 300, "wNow": 3120}
    made = {"activeCount": production, "measurementType": "production", "wNow": 3000 * production}
    grid = {"activeCount": net, "measurementType": "net-consumption", "wNow": -1000 * net}
    load = {"activeCount": total, "measurementType": "total-consumption", "wNow": 2000 * total}
    acb = {"type": "acb", "activeCount": storage, "readingTime": 0, "wNow": 400 * storage}
    return {
        "production": [inverters, eim | made],
        "consumption": [eim | load, eim | grid],
        "storage": [acb],
    }


def test_an_envoys_meters_that_are_not_enabled_are_empty() -> None:
    found = reading("enphase", envoy(1, 0, 0))
    assert powers(found) == (NAN, NAN, 3000, NAN)
    assert found.quality is Quality.OK
    without_any = reading("enphase", envoy(0, 0, 0))
    assert powers(without_any) == (NAN, NAN, 3120, NAN)
    assert without_any.quality is Quality.ESTIMATED


def test_an_envoys_total_is_no_load_where_its_parts_are_missing() -> None:
    assert powers(reading("enphase", envoy(1, 1, 1))) == (NAN, -1000, 3000, 2000)
    assert powers(reading("enphase", envoy(0, 1, 1))) == (NAN, -1000, 3120, NAN)
    with_battery = reading("enphase", envoy(1, 1, 1, storage=1))
    assert powers(with_battery) == (400, -1000, 3000, 2400)
    assert with_battery.quality is Quality.ESTIMATED


@pytest.mark.parametrize(
    ("consumption_w", "quality"), [(2062.0, Quality.ESTIMATED), (-2062.0, Quality.OK)]
)
def test_an_envoys_consumption_meter_may_be_around_the_load(
    consumption_w: float, quality: Quality
) -> None:
    solar = {"eid": 704643328, "timestamp": T, "activePower": 6702.6, "voltage": 240.0}
    other = {"eid": 704643584, "timestamp": T, "activePower": consumption_w, "voltage": 240.0}
    found = reading("enphase", [solar, other])
    assert (found.grid_w, found.quality) == (consumption_w, quality)
    unconnected = reading("enphase", [solar, other | {"activePower": 0.0, "voltage": 3.0}])
    assert powers(unconnected) == (NAN, NAN, 6702.6, NAN)


@pytest.mark.parametrize(("age_s", "grid_w"), [(0, 500), (60, 500), (61, NAN), (T, NAN)])
def test_an_envoys_meter_that_is_no_longer_read_is_empty(age_s: int, grid_w: float) -> None:
    solar = {"eid": 704643328, "timestamp": T, "activePower": 700}
    grid = {"eid": 704643584, "timestamp": T - age_s, "activePower": 500}
    assert powers(reading("enphase", [solar, grid])) == (NAN, grid_w, 700, NAN)


def test_batteries_without_capacities_are_weighted_alike_as_an_estimate() -> None:
    def soc(*percent: int | None) -> Reading:
        entries = [{"real_power_mw": 1000, "soc": one} for one in percent]
        return normalized("enphase", {"devices:": entries})

    assert (soc(20, 40).soc, soc(20, 40).quality) == (pytest.approx(0.3), Quality.ESTIMATED)
    assert (soc(20, 20).soc, soc(20, 20).quality) == (0.2, Quality.OK)
    assert math.isnan(soc(20, None).soc)


def normalized(vendor: str, document: object) -> Reading:
    """The reading of a document that the device obtained just now."""
    found = normalize(vendor, json.dumps(document).encode(), NOW, 1000, NOW)
    assert isinstance(found, Reading), found
    return found


def storage(**second: object) -> dict[str, Any]:
    first = {"Enable": 1, "StateOfCharge_Relative": 20.0, "Capacity_Maximum": 10_000}
    first |= {"TimeStamp": T}
    data = {"0": {"Controller": first}, "1": {"Controller": first | second}}
    return {
        "Head": {"Status": {"Code": 0}, "Timestamp": STAMP},
        "Body": {"Data": data},
    }


@pytest.mark.parametrize(
    ("second", "soc", "quality"),
    [
        ({"StateOfCharge_Relative": 80.0, "Capacity_Maximum": 30_000}, 0.65, Quality.OK),
        ({"StateOfCharge_Relative": 80.0, "Capacity_Maximum": None}, 0.5, Quality.ESTIMATED),
        ({"StateOfCharge_Relative": 80.0, "Enable": 0}, 0.2, Quality.OK),
    ],
)
def test_fronius_batteries_are_weighted_by_capacity(
    second: dict[str, object], soc: float, quality: Quality
) -> None:
    found = reading("fronius", storage(**second))
    assert (found.soc, found.quality) == (pytest.approx(soc), quality)


@pytest.mark.parametrize("second", [{"StateOfCharge_Relative": None}, {"TimeStamp": T - 3600}])
def test_a_fronius_battery_that_is_not_measured_leaves_no_sum(second: dict[str, object]) -> None:
    assert isinstance(read("fronius", storage(**second)), Rejection)


@pytest.mark.parametrize(
    ("mode", "grid_w", "quality"),
    [
        ("bidirectional", 300, Quality.OK),
        ("vague-meter", 300, Quality.ESTIMATED),
        (None, 300, Quality.ESTIMATED),
        ("produce-only", NAN, Quality.OK),
    ],
)
def test_fronius_without_a_meter(mode: str | None, grid_w: float, quality: Quality) -> None:
    site = {"Mode": mode, "P_Grid": 300, "P_Load": -800, "P_PV": 500, "P_Akku": None}
    head = {"Status": {"Code": 0}, "Timestamp": STAMP}
    found = reading("fronius", {"Head": head, "Body": {"Data": {"Site": site}}})
    assert found.grid_w == pytest.approx(grid_w, nan_ok=True)
    assert found.quality is quality


def solaredge(**flow: object) -> Reading:
    return normalized("solaredge", {"siteCurrentPowerFlow": {"unit": "kW"} | flow})


def test_solaredge_power_without_a_direction_is_empty() -> None:
    site = {"GRID": {"currentPower": 3.2}, "LOAD": {"currentPower": 0.5}}
    site |= {"PV": {"currentPower": 3.7}}
    others = [{"from": "PV", "to": "Load"}]
    unknown: list[dict[str, object]] = [{}, {"connections": []}, {"connections": others}]
    for connections in unknown:
        assert powers(solaredge(**site, **connections)) == (NAN, NAN, 3700, 500)
    both = [{"from": "LOAD", "to": "Grid"}, {"from": "GRID", "to": "Load"}]
    assert math.isnan(solaredge(**site, connections=both).grid_w)
    assert solaredge(**site, connections=both[:1]).grid_w == -3200
    assert solaredge(**site, connections=both[1:]).grid_w == 3200


@pytest.mark.parametrize(
    ("status", "battery_w"),
    [("Charging", -2500), ("Discharging", 2500), ("Idle", NAN), (None, NAN), ("Disabled", NAN)],
)
def test_solaredge_storage_status_has_its_direction(status: object, battery_w: float) -> None:
    pack = {"status": status, "currentPower": 2.5, "chargeLevel": 40}
    found = solaredge(LOAD={"currentPower": 0.5}, STORAGE=pack)
    assert powers(found) == (battery_w, NAN, NAN, 500)
    assert found.soc == pytest.approx(NAN if status == "Disabled" else 0.4, nan_ok=True)


def test_tesla_sites_without_a_battery() -> None:
    solar = {"solar_power": 1760, "grid_status": "Unknown", "timestamp": STAMP}
    found = reading("tesla_fleet", {"response": solar})
    assert powers(found) == (NAN, NAN, 1760, NAN)
    assert math.isnan(found.soc)
    assert found.quality is Quality.OK
    metered = solar | {"load_power": 905.5, "grid_power": -854.5}
    assert powers(reading("tesla_fleet", {"response": metered})) == (NAN, -854.5, 1760, 905.5)
    no_pack = {"battery_power": 0, "total_pack_energy": 0, "percentage_charged": 0}
    found = reading("tesla_fleet", metered | no_pack)
    assert powers(found) == (NAN, -854.5, 1760, 905.5)
    assert math.isnan(found.soc)
    assert guess_vendor(json.dumps({"response": solar}).encode()) == "tesla_fleet"


@pytest.mark.parametrize("left_out", ["", "grid_status", "total_pack_energy", "battery_power"])
def test_tesla_zeros_for_a_site_that_is_not_reached_are_no_measurement(left_out: str) -> None:
    zeros: dict[str, object] = dict.fromkeys(
        ("solar_power", "battery_power", "load_power", "grid_power", "generator_power"), 0
    )
    zeros |= {"energy_left": 0, "total_pack_energy": 0, "percentage_charged": 0}
    zeros |= {"grid_status": "Unknown", "timestamp": STAMP}
    zeros.pop(left_out, None)
    found = read("tesla_fleet", {"response": zeros})
    assert isinstance(found, Rejection)
    assert found.reason == "no_measurement"


def gateway(**times: str) -> dict[str, Any]:
    """``meters/aggregates`` of 500 = -200 + 300 + 400 W, each meter with its own time."""
    watts = {"site": 300, "battery": -200, "solar": 400, "load": 500}
    return {
        name: {"instant_power": w, "last_communication_time": times.get(name, STAMP)}
        for name, w in watts.items()
    }


@pytest.mark.parametrize("stale", ["2026-11-27T22:07:03+00:00", "0001-01-01T00:00:00Z"])
def test_a_tesla_meter_that_is_no_longer_read_is_empty_and_so_is_the_load(stale: str) -> None:
    assert powers(reading("tesla_gateway", gateway())) == (-200, 300, 400, 500)
    assert powers(reading("tesla_gateway", gateway(site=stale))) == (-200, NAN, 400, NAN)
    assert powers(reading("tesla_gateway", gateway(solar=stale))) == (-200, 300, NAN, NAN)
    # The load is computed again from meters that are read.
    found = reading("tesla_gateway", gateway(load=stale))
    assert (found.load_w, found.quality) == (500, Quality.ESTIMATED)


def test_a_tesla_meter_whose_age_is_not_known_is_an_estimate() -> None:
    document = gateway()
    del document["site"]["last_communication_time"]
    found = reading("tesla_gateway", document)
    assert (found.grid_w, found.quality) == (300, Quality.ESTIMATED)


def test_a_tesla_solar_meter_that_is_not_installed_leaves_the_load() -> None:
    never = {"instant_power": 0, "last_communication_time": "0001-01-01T00:00:00Z"}
    document = gateway() | {"solar": never}
    document["load"]["instant_power"] = 100
    assert powers(reading("tesla_gateway", document)) == (-200, 300, NAN, 100)


def test_a_tesla_pack_that_reports_no_power_leaves_no_sum() -> None:
    pack = {"nominal_full_pack_energy": 10_000, "nominal_energy_remaining": 5000, "p_out": 100}
    silent = pack | {"p_out": None}
    both = {"battery_blocks": [pack, pack | {"nominal_full_pack_energy": 15_000}]}
    found = normalized("tesla_gateway", both)
    assert (found.battery_w, found.soc) == (200, pytest.approx((0.4 - 0.05) / 0.95))
    found = normalized("tesla_gateway", {"battery_blocks": [pack, silent]})
    assert math.isnan(found.battery_w)
    disabled = silent | {"disabled_reasons": ["DisabledExcessiveVoltageDrop"]}
    assert normalized("tesla_gateway", {"battery_blocks": [pack, disabled]}).battery_w == 100
