"""Normalisers: known payloads read right (signs!), and no bytes whatever make one raise."""

import json
import math
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.vendor_fields.document import number, time_ms
from schemas.telemetry import Quality, Reading, Rejection
from vpp_streams.domain.telemetry.normalize import VENDORS, guess_vendor, normalize
from vpp_streams.domain.telemetry.normalize.balance import balance_tolerance_w

NOW = 1_800_000_000_000


def read(vendor: str, document: object, t_ms: int | None = None) -> Reading | Rejection:
    return normalize(vendor, json.dumps(document).encode(), t_ms, 1000, NOW)


def reading(vendor: str, document: object, t_ms: int | None = None) -> Reading:
    found = read(vendor, document, t_ms)
    assert isinstance(found, Reading), found
    return found


def meters(site: float, battery: float, solar: float, load: float) -> dict[str, object]:
    powers = {"site": site, "battery": battery, "solar": solar, "load": load}
    stamp = "2021-12-13T00:24:46.192599545-07:00"
    return {
        name: {"instant_power": w, "frequency": 0, "last_communication_time": stamp}
        for name, w in powers.items()
    }


def test_tesla_gateway_signs_scale_and_nanosecond_times() -> None:
    found = reading("tesla_gateway", meters(537, 10, -2, 540.25) | {"percentage": 29.0})
    assert (found.grid_w, found.battery_w, found.load_w) == (537, 10, 540.25)
    assert found.solar_w == 0  # an inverter's standby, not production
    assert found.soc == pytest.approx((29 - 5) / 95)
    assert math.isnan(found.frequency_hz)  # 0 is how it says "not measured"
    assert found.measured_at_ms == 1639380286192
    assert found.quality is Quality.OK


def test_identity_off_by_more_than_the_stated_error_is_bad() -> None:
    assert reading("tesla_gateway", meters(0, 0, 0, 51)).quality is Quality.BAD
    assert reading("tesla_gateway", meters(5000, 0, 0, 5249)).quality is Quality.OK
    assert balance_tolerance_w(0, -8000, 0, 0) == 400


def test_year_one_and_numbers_that_are_no_times() -> None:
    assert time_ms("0001-01-01T00:00:00Z") is None
    assert time_ms("yesterday") is None
    assert time_ms(-5) is None
    assert time_ms(1.7e9) == 1_700_000_000_000


def test_without_a_time_the_receipt_stands_in_as_an_estimate() -> None:
    found = reading("tesla_gateway", {"percentage": 50})
    assert (found.measured_at_ms, found.quality) == (NOW, Quality.ESTIMATED)
    assert reading("tesla_gateway", {"percentage": 50}, t_ms=NOW - 5).quality is Quality.OK


def test_tesla_fleet_live_status() -> None:
    found = reading(
        "tesla_fleet",
        {
            "response": {
                "solar_power": 1185,
                "percentage_charged": 95.5,
                "battery_power": 5060,
                "load_power": 6245,
                "grid_power": 0,
                "island_status": "off_grid",
                "timestamp": "2024-01-01T00:00:00+00:00",
            }
        },
    )
    assert (found.battery_w, found.load_w, found.soc, found.islanded) == (5060, 6245, 0.955, 1)
    assert found.balance_error_w == 0


def fronius(site: Mapping[str, object], code: int = 0) -> dict[str, object]:
    head = {"Status": {"Code": code, "Reason": "busy"}, "Timestamp": "2019-01-10T23:33:12+01:00"}
    return {"Head": head, "Body": {"Data": {"Site": site, "Inverters": {"1": {"SOC": 4.6}}}}}


def test_fronius_load_is_negative_and_night_is_not_zero() -> None:
    site = {"P_Grid": 367.7, "P_Load": -367.7, "P_Akku": None, "P_PV": None}
    found = reading("fronius", fronius(site))
    assert (found.grid_w, found.load_w, found.soc) == (367.7, 367.7, pytest.approx(0.046))
    assert math.isnan(found.solar_w)
    assert math.isnan(found.battery_w)


def test_fronius_error_body_is_told() -> None:
    found = read("fronius", fronius({}, code=9))
    assert isinstance(found, Rejection)
    assert (found.reason, "busy" in found.detail) == ("device_error", True)


def test_enphase_meters_and_milliwatts() -> None:
    eim = {"type": "eim", "activeCount": 1, "readingTime": 1693745131}
    found = reading(
        "enphase",
        {
            "production": [
                {"type": "inverters", "wNow": 751},
                eim | {"measurementType": "production", "wNow": 487.9},
            ],
            "consumption": [
                eim | {"measurementType": "total-consumption", "wNow": 473.8},
                eim | {"measurementType": "net-consumption", "wNow": -14.1},
            ],
        },
    )
    assert (found.solar_w, found.grid_w, found.load_w) == (487.9, -14.1, 473.8)
    batteries = {
        "devices:": [{"real_power_mw": -136000, "soc": 20}, {"real_power_mw": -64000, "soc": 30}]
    }
    found = reading("enphase", batteries)
    assert (found.battery_w, found.soc) == (-200, 0.25)


def test_solaredge_direction_and_unit() -> None:
    flow = {
        "unit": "kW",
        "connections": [{"from": "PV", "to": "Load"}, {"from": "LOAD", "to": "Grid"},
                        {"from": "PV", "to": "Storage"}],
        "GRID": {"currentPower": 1.5},
        "LOAD": {"currentPower": 0.5},
        "PV": {"currentPower": 3.0},
        "STORAGE": {"currentPower": 1.0, "chargeLevel": 60},
    }  # fmt: skip
    found = reading("solaredge", {"siteCurrentPowerFlow": flow})
    assert (found.grid_w, found.battery_w, found.solar_w, found.load_w) == (-1500, -1000, 3000, 500)
    assert (found.soc, found.balance_error_w) == (0.6, 0)
    bad = read("solaredge", {"siteCurrentPowerFlow": flow | {"unit": "PS"}})
    assert isinstance(bad, Rejection)
    assert bad.reason == "bad_unit"


@pytest.mark.parametrize(
    ("vendor", "document", "reason"),
    [
        ("tesla_gateway", meters(1e12, 0, 0, 0), "absurd_value"),
        ("tesla_gateway", {"percentage": 180}, "absurd_value"),
        ("tesla_gateway", {"site": {"instant_power": "537 W"}}, "no_measurement"),
        ("tesla_gateway", {"vin": "x"}, "not_telemetry"),
        ("acme", {}, "unknown_vendor"),
    ],
)
def test_refused_with_a_reason(vendor: str, document: object, reason: str) -> None:
    found = read(vendor, document)
    assert isinstance(found, Rejection)
    assert found.reason == reason
    assert found.detail.endswith(".")


def test_solaredge_overview_is_an_estimate_of_solar() -> None:
    found = reading("solaredge", {"overview": {"currentPower": {"power": 2105.3}}}, t_ms=NOW)
    assert (found.solar_w, found.quality) == (2105.3, Quality.ESTIMATED)
    assert math.isnan(found.load_w)


def test_native_is_canonical_already() -> None:
    body = {"t": NOW, "p": 1000, "g": -1500.5, "pv": 3000, "l": 2498.5, "soc": 0.5, "iv": 60_000}
    found = reading("native", body)
    assert (found.battery_w, found.grid_w, found.solar_w, found.load_w) == (
        1000,
        -1500.5,
        3000,
        2498.5,
    )
    assert (found.interval_ms, found.quality, found.balance_error_w) == (60_000, Quality.OK, -1)


def test_load_is_computed_from_the_other_three_only() -> None:
    found = reading("native", {"t": NOW, "p": 1000, "g": -200, "pv": 0})
    assert (found.load_w, found.quality) == (800, Quality.ESTIMATED)
    assert math.isnan(reading("native", {"t": NOW, "p": 1000, "g": -200}).load_w)


@pytest.mark.parametrize(
    ("load", "kept", "quality"),
    [(-49, 0.0, Quality.OK), (-51, math.nan, Quality.BAD)],
)
def test_a_negative_load_is_standby_or_not_known(
    load: float, kept: float, quality: Quality
) -> None:
    found = reading("native", {"t": NOW, "p": 0, "g": 0, "pv": 0, "l": load})
    assert found.load_w == pytest.approx(kept, nan_ok=True)
    assert found.quality is quality


def test_what_no_such_meter_shows_is_not_measured() -> None:
    body = {"t": NOW, "p": 0, "hz": 0, "v": 0, "tc": -273.15}
    found = reading("native", body)
    assert all(map(math.isnan, (found.frequency_hz, found.voltage_v, found.temperature_c)))
    assert found.quality is Quality.OK


@pytest.mark.parametrize(
    ("raw_percent", "soc"), [(100, 1.0), (52.5, 0.5), (5, 0.0), (3, 0.0), (101, 1.0)]
)
def test_tesla_s_raw_scale(raw_percent: float, soc: float) -> None:
    assert reading("tesla_gateway", {"percentage": raw_percent}).soc == pytest.approx(soc)


@pytest.mark.parametrize(
    ("voltage", "known"), [(120.6, True), (232.0, True), (211.1, False), (0, False)]
)
def test_tesla_s_voltage_is_believed_near_a_nominal_one(voltage: float, known: bool) -> None:
    site = {"instant_power": 1, "instant_average_voltage": voltage}
    found = reading("tesla_gateway", {"site": site})
    assert math.isnan(found.voltage_v) is not known


def test_a_generator_counts_as_import() -> None:
    live = {"battery_power": -500, "grid_power": 0, "generator_power": 2000, "solar_power": 0}
    found = reading("tesla_fleet", live | {"load_power": 1500, "island_status": "off_grid"})
    assert (found.grid_w, found.balance_error_w, found.islanded) == (2000, 0, 1)


def test_fronius_without_a_meter_only_guesses() -> None:
    site = {"Mode": "vague-meter", "P_Grid": 367.7, "P_Load": -367.7, "P_Akku": None, "P_PV": None}
    assert reading("fronius", fronius(site)).quality is Quality.ESTIMATED


def test_a_vendor_is_guessed_by_its_document_then_by_its_path() -> None:
    assert guess_vendor(b'{"response":{"battery_power":1,"grid_power":2}}') == "tesla_fleet"
    assert guess_vendor(b'{"t":1,"p":2}') == "native"
    assert guess_vendor(b"[]", "data/Envoy/ivp_meters") == "enphase"
    assert guess_vendor(b"<html>", "solar_api__v1.cgi") == "fronius"
    assert guess_vendor(b"{}", "x.json") is None


@pytest.mark.parametrize(
    ("body", "reason", "said"),
    [
        (b"", "bad_json", "empty"),
        (b"<!DOCTYPE html><p>", "bad_json", "a web page"),
        (b"HTTP/2 502 \ncontent-length: 0", "bad_json", "an HTTP answer"),
        (b'{"a":"\xff"}', "bad_encoding", "UTF-8"),
        (b'{"error":"404 - Not Found"}', "device_error", "404 - Not Found."),
        (b"[]", "not_telemetry", "empty"),
        (b'{"powerwalls":[]}', "not_telemetry", "list of Powerwalls"),
        (b'{"percentage":50,"site":{"instant_power":1e12}}', "absurd_value", "beyond 1 GW"),
    ],
)
def test_a_person_is_told_what_it_is_instead(body: bytes, reason: str, said: str) -> None:
    found = normalize("tesla_gateway", body, None, 1000, NOW)
    assert isinstance(found, Rejection)
    assert found.reason == reason
    assert said in found.detail


def test_a_time_that_cannot_be_is_refused() -> None:
    ahead = normalize("tesla_gateway", b'{"percentage":50}', NOW + 600_100, 1000, NOW)
    assert isinstance(ahead, Rejection)
    assert "600 s after it was received" in ahead.detail
    unset = read("native", {"t": 5, "p": 1})
    assert isinstance(unset, Rejection)
    assert "1970-01-01" in unset.detail


KEYS = """
    site battery load solar instant_power frequency percentage battery_blocks p_out location
    nominal_full_pack_energy nominal_energy_remaining Cached_readings grid_status response
    grid_power battery_power percentage_charged timestamp Head Status Code Body Data Site P_PV
    P_Load Inverters SOC PAC Values Controller StateOfCharge_Relative PowerReal_P_Sum
    Meter_Location_Current production consumption type wNow readingTime devices: real_power_mw soc
    eid activePower channels wattsNow lastReportWatts secctrl Enc_max_available_capacity
    siteCurrentPowerFlow unit GRID currentPower connections overview t p g pv l error 0
    address value _sum/EssSoc _sum/EssActivePower _sum/GridActivePower
""".split()  # noqa: SIM905 - words read better than as many quoted strings
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5)
    ),
    max_leaves=25,
)


@given(st.sampled_from([*VENDORS, "acme"]), json_values)
def test_no_document_makes_one_raise(vendor: str, document: object) -> None:
    found = read(vendor, document)
    if isinstance(found, Rejection):
        assert found.detail.endswith(".")
    else:
        powers = (found.battery_w, found.grid_w, found.solar_w, found.load_w)
        assert all(math.isnan(p) or abs(p) <= 1e9 for p in powers)
        assert math.isnan(found.soc) or 0 <= found.soc <= 1
        if found.quality is Quality.OK and not math.isnan(found.balance_error_w):
            assert abs(found.balance_error_w) <= balance_tolerance_w(*powers)


@given(st.sampled_from(list(VENDORS)), st.binary(max_size=64))
def test_no_bytes_make_one_raise(vendor: str, body: bytes) -> None:
    assert isinstance(normalize(vendor, body, None, 1000, NOW), Reading | Rejection)
    guess_vendor(body)


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"percentage": NaN}', b"1e999", b"\xff", b""])
def test_hostile_bytes(body: bytes) -> None:
    assert isinstance(normalize("tesla_gateway", body, None, 1000, NOW), Rejection)


@pytest.mark.parametrize("value", [10**400, float("inf"), True, None, "5"])
def test_what_is_no_finite_number_is_not_a_number(value: float | str | None) -> None:
    assert math.isnan(number(value))
