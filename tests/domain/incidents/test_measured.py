"""What rules measure of regions and of the system: the right value, or that there is none."""

from typing import Any

import msgspec
import pytest

from schemas.health import Health
from schemas.market import Delivery, Refusal
from tests.support.web_records import NOW_MS, commandable, dispatch_status, region_live
from vpp_streams.domain.incidents.regions import RegionsSeen
from vpp_streams.domain.incidents.system import SystemSeen
from vpp_streams.domain.incidents.watch import Measurement

REGION = "coast"


@pytest.fixture
def regions() -> RegionsSeen:
    seen = RegionsSeen()
    seen.expect(frozenset({REGION}), NOW_MS)
    return seen


def of(found: Any, kind: str) -> Measurement:
    (one,) = [one for one in found if one.kind == kind]
    return one


def delivery(**changes: Any) -> Delivery:
    fields: dict[str, Any] = {
        "bid_id": "m:coast:1", "market": "m", "region": REGION, "start_ms": NOW_MS,
        "interval_ms": 300_000, "awarded_w": 1000.0, "measured_w": 700.0, "coverage": 1.0,
        "money": 0.0, "currency": "USD",
    }  # fmt: skip
    return Delivery(**fields | changes)


def test_a_region_that_never_reported_grows_old_from_when_it_was_expected(
    regions: RegionsSeen,
) -> None:
    found = list(regions.measured(NOW_MS + 42_000))
    assert of(found, "region_silent").value == 42
    assert of(found, "dispatch_silent").value == 42
    for kind in ("sites_silent", "not_commandable", "held", "power_missing", "delivery_missed"):
        assert of(found, kind).value is None, kind


def test_reports_are_measured_and_old_ones_are_not(regions: RegionsSeen) -> None:
    regions.live(region_live(REGION, coverage=0.75), NOW_MS)
    status = dispatch_status(
        REGION, asked_w=10_000.0, missing_w=2_500.0, commandable=commandable(6, silent=4)
    )
    regions.status(status, NOW_MS)
    found = list(regions.measured(NOW_MS + 1000))
    assert of(found, "sites_silent").value == pytest.approx(0.25)
    assert of(found, "power_missing").value == pytest.approx(0.25)
    assert of(found, "not_commandable").value == pytest.approx(0.4)
    later = list(regions.measured(NOW_MS + 60_000))
    assert of(later, "sites_silent").value is None
    assert of(later, "power_missing").value is None


def test_a_hold_grows_old_until_it_is_withdrawn(regions: RegionsSeen) -> None:
    held = dispatch_status(REGION, mode="hold")
    regions.status(held, NOW_MS)
    regions.status(msgspec.structs.replace(held, at_ms=NOW_MS + 9000), NOW_MS + 9000)
    assert of(regions.measured(NOW_MS + 9000), "held").value == 9
    regions.status(dispatch_status(REGION, mode="idle"), NOW_MS + 10_000)
    assert of(regions.measured(NOW_MS + 10_000), "held").value == 0


def test_only_what_the_fleet_missed_counts(regions: RegionsSeen) -> None:
    regions.delivery(delivery())
    assert of(regions.measured(NOW_MS), "delivery_missed").value == pytest.approx(0.3)
    regions.delivery(delivery(start_ms=NOW_MS + 1, overridden_s=300.0, measured_w=0.0))
    regions.delivery(delivery(start_ms=NOW_MS + 2, coverage=0.0, measured_w=0.0))
    assert of(regions.measured(NOW_MS), "delivery_missed").value == pytest.approx(0.3)
    regions.delivery(delivery(start_ms=NOW_MS + 3, measured_w=1000.0))
    assert of(regions.measured(NOW_MS), "delivery_missed").value == 0


def test_refusals_are_counted_for_an_hour(regions: RegionsSeen) -> None:
    for minute in (0, 30, 59):
        at_ms = NOW_MS + minute * 60_000
        regions.refusal(
            Refusal(bid_id="m:coast:1", market="m", region=REGION, at_ms=at_ms, reason="late")
        )
    assert of(regions.measured(NOW_MS + 59 * 60_000), "bids_refused").value == 3
    assert of(regions.measured(NOW_MS + 100 * 60_000), "bids_refused").value == 1


def test_regions_without_active_sites_are_forgotten(regions: RegionsSeen) -> None:
    regions.live(region_live("nowhere"), NOW_MS)
    regions.expect(frozenset({"north"}), NOW_MS)
    assert {one.subject for one in regions.measured(NOW_MS)} == {"north"}


def health(role: str, process: str, **counters: int) -> Health:
    return Health(
        process_id=process, role=role, at_ms=NOW_MS, started_at_ms=NOW_MS, counters=counters
    )


def test_a_role_is_silent_once_none_of_its_processes_reports() -> None:
    seen = SystemSeen()
    seen.health(health("fleet", "a"), NOW_MS)
    seen.health(health("fleet", "b"), NOW_MS + 20_000)
    assert of(seen.measured(NOW_MS + 25_000), "process_silent").value == 5


def test_a_role_of_an_open_incident_is_expected_after_a_restart() -> None:
    seen = SystemSeen()
    seen.expect("optimizer", NOW_MS)
    assert of(seen.measured(NOW_MS + 30_000), "process_silent").subject == "optimizer"


def test_refused_readings_are_a_share_of_the_last_minutes() -> None:
    seen = SystemSeen()
    assert of(seen.measured(NOW_MS), "readings_refused").value is None
    seen.health(health("ingest", "a", canonical=1000, rejected=500), NOW_MS)
    seen.health(health("ingest", "a", canonical=1090, rejected=510), NOW_MS + 1000)
    assert of(seen.measured(NOW_MS + 1000), "readings_refused").value == pytest.approx(0.1)
    assert of(seen.measured(NOW_MS + 600_000), "readings_refused").value is None


def test_refused_records_are_counted_for_five_minutes() -> None:
    seen = SystemSeen()
    seen.record_refused(NOW_MS)
    assert of(seen.measured(NOW_MS + 299_000), "records_refused").value == 1
    assert of(seen.measured(NOW_MS + 300_000), "records_refused").value == 0
