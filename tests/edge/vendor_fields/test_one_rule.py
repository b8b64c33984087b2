"""A driver and the normaliser of the same document read the same values from it."""

import json
import math
from collections.abc import Callable
from typing import Any

import pytest

from edge.driver import Readings
from edge.drivers import fronius, tesla_gateway
from schemas.bodies import Quality
from schemas.telemetry import Reading
from tests.support.paths import SHARED_DATA
from vpp_streams.domain.telemetry.normalize import normalize

NOW = 1_800_000_000_000
NAMES = ("battery_w", "grid_w", "solar_w", "soc", "frequency_hz")
PAYLOADS = SHARED_DATA / "vendor_payloads"
DRIVERS: dict[str, Callable[[Any], Readings]] = {
    "tesla_gateway": lambda document: tesla_gateway.readings_of(document, document, document),
    "fronius": lambda document: fronius.readings_of(document["Body"]["Data"]),
}
RECORDINGS = {
    "tesla_gateway_jrester/meters_aggregates.json": "tesla_gateway",
    "home_assistant_core/fronius_gen24_storage__GetPowerFlowRealtimeData.json": "fronius",
    "fronius_pyfronius/v1__solar_api__v1__GetPowerFlowRealtimeData.fcgi": "fronius",
}


def same(vendor: str, document: Any) -> None:
    cloud = normalize(vendor, json.dumps(document).encode(), NOW, 1000, NOW)
    assert isinstance(cloud, Reading)
    home = {reading.quantity: reading for reading in DRIVERS[vendor](document)}
    for name in NAMES:
        value = getattr(cloud, name)
        assert (name in home) == (not math.isnan(value)), name
        if name in home:
            assert home[name].value == pytest.approx(value), name
    if cloud.quality is Quality.OK:
        assert {home[name].quality for name in NAMES if name in home} == {Quality.OK}


@pytest.mark.skipif(not PAYLOADS.is_dir(), reason=f"{PAYLOADS} is absent")
@pytest.mark.parametrize("name", RECORDINGS)
def test_a_recorded_document_is_read_alike(name: str) -> None:
    same(RECORDINGS[name], json.loads((PAYLOADS / name).read_text()))


def test_a_meter_without_a_time_beside_one_with_a_time_is_read_alike() -> None:
    meters = {"site": {"instant_power": 500, "last_communication_time": "2026-06-01T12:00:00Z"}}
    document = {**meters, "battery": {"instant_power": -200}, "percentage": 52.5}
    same("tesla_gateway", document)
    readings = tesla_gateway.readings_of(document, document, None)
    qualities = {reading.quantity: reading.quality for reading in readings}
    assert qualities["battery_w"] is Quality.ESTIMATED
    assert qualities["grid_w"] is Quality.OK


def test_two_fronius_batteries_at_the_same_level_are_read_alike() -> None:
    data = {"Site": {"Mode": "meter"}, "Inverters": {"1": {"SOC": 40}, "2": {"SOC": 40}}}
    same("fronius", {"Head": {"Status": {"Code": 0}}, "Body": {"Data": data}})
