"""OpenEMS: its sums as a mapping and as the list of the REST API, and its recorded day."""

import csv
import json
import math

import pytest

from schemas.telemetry import Quality, Reading, Rejection
from tests.support.paths import SHARED_DATA
from vpp_streams.domain.telemetry.normalize import guess_vendor, normalize

RECORDED = SHARED_DATA / "openems_channels" / "simulator_timedata.csv"
NOW = 1_800_000_000_000
SUMS = {
    "EssSoc": 77,
    "EssDischargePower": -1500,
    "EssActivePower": 900,
    "GridActivePower": -200,
    "ProductionActivePower": 3000,
    "ConsumptionActivePower": 1300,
    "GridMode": 1,
}


def read(document: object) -> Reading | Rejection:
    return normalize("openems", json.dumps(document).encode(), NOW, 1000, NOW)


def reading(document: object) -> Reading:
    found = read(document)
    assert isinstance(found, Reading), found
    return found


def test_signs_in_both_forms() -> None:
    mapping = {f"_sum/{name}": value for name, value in SUMS.items()}
    listed = [{"address": address, "value": value} for address, value in mapping.items()]
    for document in (mapping, listed):
        found = reading(document)
        assert (found.battery_w, found.grid_w, found.solar_w) == (-1500, -200, 3000)
        assert (found.load_w, found.soc, found.islanded) == (1300, 0.77, 0)
        assert (found.balance_error_w, found.quality) == (0, Quality.OK)
        assert guess_vendor(json.dumps(document).encode()) == "openems"


@pytest.mark.parametrize(
    ("dc_w", "quality"), [(0, Quality.OK), (800, Quality.ESTIMATED), (None, Quality.ESTIMATED)]
)
def test_the_storages_ac_power_is_its_batterys_only_without_panels_behind_it(
    dc_w: int | None, quality: Quality
) -> None:
    sums = {"_sum/EssActivePower": 900, "_sum/ProductionDcActualPower": dc_w}
    found = reading(sums)
    assert (found.battery_w, found.quality) == (900, quality)
    assert math.isnan(found.grid_w)


def test_settings_are_not_telemetry() -> None:
    found = read([{"address": "meta0/Currency", "value": "EUR"}])
    assert isinstance(found, Rejection)
    assert found.reason == "not_telemetry"


@pytest.mark.skipif(not RECORDED.is_file(), reason="the shared recordings are not here")
def test_the_identity_holds_in_a_recorded_day() -> None:
    with RECORDED.open() as lines:
        rows = list(csv.DictReader(lines, delimiter=";"))
    assert len(rows) == 288
    found = [
        reading({name: float(text.replace(",", ".")) for name, text in row.items()}) for row in rows
    ]
    bad = [one for one in found if one.quality is Quality.BAD]
    assert all(one.quality is Quality.ESTIMATED for one in found if one not in bad)
    # The recording has a load of 0 where its other powers add up to less than nothing.
    assert all(one.load_w == 0 and one.grid_w + one.battery_w < -50 for one in bad)
    assert len(bad) == 9
