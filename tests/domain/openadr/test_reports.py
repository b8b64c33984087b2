"""Reports: when they are due, what they say, and that they are as the specification has them."""

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
import yaml
from openapi_schema_validator import OAS30Validator
from referencing import Registry, Resource

from schemas.windows import EnergySums, RegionWindow, RegionWindowSums
from tests.support.openadr_world import NOW, World, asking
from tests.support.paths import ROOT
from tests.support.web_records import region_live

SPEC = ROOT.parent / "shared" / "data" / "openadr3" / "3.1.1"
MINUTE_MS = 60_000


def window(minute: int, coverage: float = 1.0) -> RegionWindow:
    """A minute at 60 kW import and 12 kW discharge, of which a part was measured."""
    grid, battery = 1000.0 * coverage, 200.0 * coverage
    sums = RegionWindowSums(
        sites_expected=10, sites_reporting=10, readings=600, coverage_sum=10 * coverage,
        battery=EnergySums(battery, battery, 0.0), grid=EnergySums(grid, grid, 0.0),
        solar=EnergySums(0.0, 0.0, 0.0), load=EnergySums(0.0, 0.0, 0.0),
        stored_first_wh=500.0, stored_last_wh=400.0, usable_wh=1000.0,
    )  # fmt: skip
    start_ms = NOW + minute * MINUTE_MS
    return RegionWindow(
        window_id="w", region="north", start_ms=start_ms, size_s=60, revision=0,
        coverage=coverage, mean_battery_w=0, mean_grid_w=0, mean_solar_w=0, mean_load_w=0,
        soc_first=0.5, soc_last=0.4, sums=sums,
    )  # fmt: skip


def told_of(world: World, name: str) -> list[list[tuple[float | None, str]]]:
    """(value, quality) by resource and interval, of the reports of one type."""
    return [
        [
            (next((p["values"][0] for p in i["payloads"] if p["type"] == name), None),
             next(p["values"][0] for p in i["payloads"] if p["type"] == "DATA_QUALITY"))
            for i in resource["intervals"]
        ]
        for path, body in world.vtn.sent
        if path == "/reports" and body["payloadDescriptors"][0]["payloadType"] == name
        for resource in body["resources"]
    ]  # fmt: skip


async def test_usage_and_demand_come_after_the_last_interval_with_their_quality() -> None:
    world = World()
    world.vtn.put(asking(*({"payloadType": n} for n in ("USAGE", "DEMAND", "READING"))))
    for minute in (*range(15), *range(15, 30, 2)):
        world.session.measured.on_window(window(minute))
    world.now_ms = NOW + 45 * MINUTE_MS + 60_000
    await world.session.poll()
    assert told_of(world, "USAGE") == []
    world.now_ms += 30_000
    await world.session.poll()
    await world.session.poll()
    connections, batteries = told_of(world, "USAGE")
    # Energy is what was measured, never scaled up to the minutes in between.
    assert connections == [(15.0, "OK"), (8.0, "ESTIMATED"), (None, "MISSING")]
    assert batteries == [(0.0, "OK"), (0.0, "ESTIMATED"), (None, "MISSING")]
    assert told_of(world, "DEMAND")[0][0] == (60.0, "OK")
    assert [r[0] for r in told_of(world, "READING")] == [(60.0, "OK"), (-12.0, "OK")]
    assert world.session.counters["reports"] == 3


async def test_a_repeated_report_comes_after_each_interval() -> None:
    world = World()
    world.vtn.put(
        asking({"payloadType": "DEMAND", "units": "W", "startInterval": 1, "numIntervals": 1,
                "repeat": -1})
    )  # fmt: skip
    for minute in range(45):
        world.session.measured.on_window(window(minute))
    sent = []
    for minute in range(14, 60, 5):
        world.now_ms = NOW + minute * MINUTE_MS
        await world.session.poll()
        sent.append(len(told_of(world, "DEMAND")) // 2)
    assert sent == [0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert told_of(world, "DEMAND")[0] == [(60_000.0, "OK")]


async def test_the_state_of_charge_is_told_once_known_and_not_again_after_a_restart() -> None:
    world = World()
    names = (
        "STORAGE_USABLE_CAPACITY", "STORAGE_CHARGE_LEVEL", "STORAGE_MAX_DISCHARGE_POWER",
        "STORAGE_MAX_CHARGE_POWER",
    )  # fmt: skip
    world.vtn.put(asking(*({"payloadType": n} for n in names), intervals=[]))
    await world.session.poll()
    assert world.vtn.reports == []
    world.session.measured.on_live(region_live("north", NOW, coverage=1.0, soc=0.618))
    await world.session.poll()
    assert [told_of(world, n) for n in names] == [
        [[(1000.0, "OK")]], [[(0.618, "OK")]], [[(348.2, "OK")]], [[(302.0, "OK")]],
    ]  # fmt: skip
    restarted = world.begin()
    restarted.measured.on_live(region_live("north", NOW, coverage=1.0))
    await restarted.poll()
    assert len(world.vtn.reports) == 4


@pytest.mark.parametrize(
    "descriptor",
    [
        {"payloadType": "BASELINE"},
        {"payloadType": "USAGE", "units": "THERMS"},
        {"payloadType": "USAGE", "historical": False},
        {"payloadType": "USAGE", "readingType": "PEAK"},
        {"payloadType": "USAGE", "reportIntervals": "SUB_INTERVALS"},
        {"payloadType": "USAGE", "startInterval": 0},
        {"payloadType": "USAGE", "repeat": -7},
    ],
)
async def test_a_report_that_cannot_be_made_is_refused_by_name(descriptor: dict[str, Any]) -> None:
    world = World()
    world.vtn.put(asking(descriptor))
    world.now_ms = NOW + 7_200_000
    await world.session.poll()
    assert world.vtn.reports == []
    assert world.session.counters["refused_report_refused"] == 1


@cache
def specification(file: str) -> Registry[Any]:
    # PyYAML reads dates of examples as times; JSON has texts.
    document = json.loads(json.dumps(yaml.safe_load((SPEC / file).read_text()), default=str))
    return Registry().with_resource("urn:spec", Resource.opaque(document))


def validator(file: str, path: str) -> OAS30Validator:
    """Of one schema of the specification, by its reference."""
    registry = specification(file)
    return OAS30Validator({"$ref": f"urn:spec#{path}"}, registry=registry)


@pytest.mark.skipif(not SPEC.is_dir(), reason="no openadr3/3.1.1 in ../shared/data")
async def test_all_that_we_send_is_as_the_specification_has_it() -> None:
    world = World()
    kinds = ("USAGE", "DEMAND", "READING", "STORAGE_USABLE_CAPACITY", "STORAGE_CHARGE_LEVEL",
             "STORAGE_MAX_CHARGE_POWER", "STORAGE_MAX_DISCHARGE_POWER",
             "UP_REGULATION_AVAILABLE", "DOWN_REGULATION_AVAILABLE")  # fmt: skip
    world.vtn.put(asking(*({"payloadType": kind} for kind in kinds)))
    for minute in range(45):
        world.session.measured.on_window(window(minute, 0.5 if minute < 20 else 1.0))
        world.session.measured.on_live(region_live("north", NOW + minute * MINUTE_MS, soc=0.61))
    world.now_ms = NOW + 47 * MINUTE_MS
    await world.session.poll()
    names = {"/vens": "venRequest", "/resources": "resourceRequest", "/reports": "reportRequest"}
    assert {path for path, _ in world.vtn.sent} == names.keys()
    assert len(world.vtn.reports) == len(kinds)
    payloads = 0
    for path, body in world.vtn.sent:
        problems = validator("openadr3.yaml", f"/components/schemas/{names[path]}").iter_errors(
            body
        )
        assert [p.message for p in problems] == []
        for payload in _payloads(body):
            rules = validator("enumerations/report-payloads.schema.yaml",
                              f"/definitions/{payload['type']}")  # fmt: skip
            assert [p.message for p in rules.iter_errors(payload["values"])] == []
            payloads += 1
    assert payloads > 2 * len(kinds)


def _payloads(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for resource in body.get("resources", ()):
        for interval in resource["intervals"]:
            yield from interval["payloads"]
