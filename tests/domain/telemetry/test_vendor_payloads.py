"""Real payloads: every file gives a reading whose identity holds, or a reason for a person."""

import json
import math
from copy import deepcopy
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.vendor_fields.document import time_ms
from schemas.telemetry import Quality, Reading, Rejection
from tests.support.paths import DOCS, SHARED_DATA
from vpp_streams.cli.normalize import outcome
from vpp_streams.cli.screens.normalize import summary_table
from vpp_streams.domain.telemetry.normalize import normalize
from vpp_streams.domain.telemetry.normalize.balance import balance_tolerance_w

PAYLOADS = SHARED_DATA / "vendor_payloads"
TABLE = DOCS / "vendors.md"
NOW = 1_800_000_000_000
PROSE = ("LICENSE", "NOTE", "_readme")
ENVOY_8 = "enphase_envoy/8.2.127_with_3cts_and_battery_split"

pytestmark = pytest.mark.skipif(not PAYLOADS.is_dir(), reason="the shared recordings are not here")


@cache
def outcomes() -> dict[str, tuple[str | None, Reading | Rejection]]:
    files = sorted(f for f in PAYLOADS.rglob("*") if f.is_file() and not f.name.startswith(PROSE))
    return {str(file.relative_to(PAYLOADS)): outcome(file, None, NOW) for file in files}


def reading(file: str) -> Reading:
    _, found = outcomes()[file]
    assert isinstance(found, Reading), found
    return found


def test_every_payload_is_a_reading_or_a_reason_for_a_person() -> None:
    assert len(outcomes()) > 290
    for file, (vendor, found) in outcomes().items():
        assert vendor is not None, file
        if isinstance(found, Rejection):
            assert found.reason.isidentifier(), file
            assert found.detail.endswith("."), file
            assert 15 < len(found.detail) < 300, (file, found.detail)


def test_the_identity_of_every_reading_holds_within_its_stated_error() -> None:
    checked = 0
    for file, (_, found) in outcomes().items():
        if isinstance(found, Reading) and not math.isnan(found.balance_error_w):
            powers = (found.battery_w, found.grid_w, found.solar_w, found.load_w)
            assert abs(found.balance_error_w) <= balance_tolerance_w(*powers), file
            checked += 1
    assert checked >= 6


def test_one_reading_is_bad_and_rightly_so() -> None:
    """Its meters say 1844 W came from grid and panels, and 2580 W went into the battery."""
    bad = [
        file
        for file, (_, found) in outcomes().items()
        if isinstance(found, Reading) and found.quality is Quality.BAD
    ]
    assert bad == [f"{ENVOY_8}/ivp_meters_readings"]
    assert math.isnan(reading(bad[0]).load_w)


def test_the_table_in_the_docs_is_what_comes_out() -> None:
    assert summary_table(outcomes().values()) in TABLE.read_text()


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        (
            "tesla_gateway_jrester/meters_aggregates.json",
            {
                "battery_w": -10,
                "grid_w": -5347.455078125,
                "solar_w": 6099.032958984375,
                "load_w": 734.1549565813606,
                "frequency_hz": 49.99971389770508,
                "voltage_v": 232.0439249674479,
                "measured_at_ms": time_ms("2020-04-09T12:50:38.990+00:00"),
            },
        ),
        (
            # The site's frequency is 0, not measured: the battery's stands. 211 V is no voltage
            # of a line to neutral.
            "tesla_gateway_pypowerwall/api.meters.aggregates.json",
            {
                "battery_w": -990,
                "grid_w": 27,
                "solar_w": 1840,
                "load_w": 866.25,
                "frequency_hz": 60.019,
                "voltage_v": math.nan,
            },
        ),
        (
            "tesla_gateway_pypowerwall/api.system_status.soe.json",
            {"soc": (20.109166592431226 - 5) / 95, "battery_w": math.nan},
        ),
        (
            "tesla_gateway_pypowerwall/api.system_status.json",
            {"battery_w": -1990 - 1890, "soc": (16693 / 25995 - 0.05) / 0.95, "islanded": 0},
        ),
        ("tesla_gateway_jrester/system_status.json", {"battery_w": -3660}),
        (
            "tesla_gateway_vloschiavo/21.39.1-foogod/running/meters.aggregates.json",
            {"battery_w": 10, "grid_w": 537, "solar_w": 0, "load_w": 540.25},
        ),
        ("tesla_gateway_jrester/meter_site.json", {"grid_w": -18, "voltage_v": 247.56}),
        ("tesla_gateway_jrester/meter_solar.json", {"solar_w": 2867.159912109375}),
        ("home_assistant_core/powerwall__batteries.json", {"battery_w": -200, "soc": 1}),
        (
            "home_assistant_core/teslemetry__live_status.json",
            {"battery_w": 5060, "grid_w": 0, "load_w": 6245, "solar_w": 1185, "islanded": 0},
        ),
        (
            "home_assistant_core/fronius_gen24_storage__GetPowerFlowRealtimeData.json",
            {
                "battery_w": 0.15907810628414154,
                "grid_w": 2274.9,
                "solar_w": 216.43276786804199,
                "load_w": 2459.3092254638673,
                "soc": 0.046,
            },
        ),
        (
            # Night: null power of the panels is not 0.
            "fronius_pyfronius/v1__solar_api__v1__GetPowerFlowRealtimeData.fcgi",
            {"grid_w": 367.722145, "load_w": 367.722145, "solar_w": math.nan},
        ),
        (
            "fronius_pyfronius/v1__solar_api__v1__GetMeterRealtimeData.cgi___Scope-System",
            {"load_w": 367.722145, "grid_w": math.nan},
        ),
        (
            "fronius_pyfronius/v1__solar_api__v1__GetStorageRealtimeData.cgi___Scope-System",
            {"soc": 0.079, "temperature_c": 19.55},
        ),
        (
            "enphase_envoy/7.6.175_with_cts/production.json",
            {"grid_w": -11.468, "solar_w": 488.154, "load_w": 476.686, "battery_w": math.nan},
        ),
        ("enphase_envoy/5.0.62/production.json", {"solar_w": 7904, "grid_w": math.nan}),
        (
            f"{ENVOY_8}/ivp_meters_readings",
            {"battery_w": -2579.823, "grid_w": 129.407, "voltage_v": 121.2665},
        ),
        (f"{ENVOY_8}/ivp_ensemble_power", {"battery_w": -641, "soc": 0.21}),
        ("enphase_envoy/8.2.127_with_generator_running/ivp_ensemble_power", {"battery_w": -1250}),
        ("enphase_envoy/8.2.127_with_generator_running/ivp_ensemble_status", {"islanded": 1}),
    ],
)
def test_known_values(file: str, expected: dict[str, float]) -> None:
    found = reading(file)
    assert {name: getattr(found, name) for name in expected} == pytest.approx(
        expected, nan_ok=True, rel=1e-5
    )


@pytest.mark.parametrize(
    ("file", "reason", "said"),
    [
        (f"{ENVOY_8}/ivp_ensemble_inventory", "not_telemetry", "the Envoy's inventory"),
        ("enphase_envoy/5.0.62/ivp_ensemble_power", "device_error", "404 - Not Found"),
        ("enphase_envoy/5.0.62/production", "bad_json", "a web page"),
        ("tesla_gateway_jrester/operation.json", "not_telemetry", "operation mode"),
        ("tesla_gateway_pypowerwall/api.meters.readings.json", "bad_json", "not JSON"),
        (
            "tesla_gateway_vloschiavo/21.39.1-foogod/stopped/meters.aggregates.err",
            "bad_json",
            "an HTTP answer",
        ),
        ("home_assistant_core/teslemetry__energy_history.json", "not_telemetry", "energy history"),
    ],
)
def test_known_refusals(file: str, reason: str, said: str) -> None:
    _, found = outcomes()[file]
    assert isinstance(found, Rejection)
    assert found.reason == reason
    assert said in found.detail


HOSTILE: list[object] = [
    None,
    True,
    "x",
    "",
    [],
    [[]],
    {},
    {"0": {}},
    -1,
    1e308,
    10**400,
    2**63,
    "0001-01-01",
]


@cache
def readable() -> list[tuple[str, str]]:
    """(vendor, document) of the payloads that give a reading."""
    return [
        (vendor, (PAYLOADS / file).read_text())
        for file, (vendor, found) in outcomes().items()
        if vendor and isinstance(found, Reading)
    ]


def places(node: Any) -> list[tuple[Any, Any]]:
    """(container, key) of everything in a document."""
    pairs = node.items() if isinstance(node, dict) else enumerate(node)
    found = [(node, key) for key, _ in pairs]
    for container, key in list(found):
        child = container[key]
        if isinstance(child, dict | list):
            found += places(child)
    return found


@given(st.data())
def test_no_value_anywhere_in_a_real_document_makes_one_raise(data: st.DataObject) -> None:
    vendor, text = data.draw(st.sampled_from(readable()))
    document = json.loads(text)
    for _ in range(data.draw(st.integers(1, 3))):
        container, key = data.draw(st.sampled_from(places(document)))
        # A copy: one that later draws write into would end as a document that holds itself.
        hostile = deepcopy(data.draw(st.sampled_from(HOSTILE)))
        container[key] = hostile
    found = normalize(vendor, json.dumps(document).encode(), None, 1000, NOW)
    assert isinstance(found, Reading | Rejection)
