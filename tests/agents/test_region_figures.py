"""What a region worker's records say, as metrics."""

from typing import Any

from agents.region_figures import FRESH_MS, RegionFigures
from tests.support.web_records import NOW_MS, commandable, dispatch_status, region_live
from vpp_streams.process.health import HealthReporter


def figures(seen: RegionFigures, now_ms: int = NOW_MS) -> dict[tuple[str, ...], float | None]:
    return {(name, *labels): value for name, labels, value in seen.figures(now_ms)}


def test_a_region_s_newest_records_are_figures() -> None:
    seen = RegionFigures()
    seen.live(region_live("north", coverage=0.98))
    told: dict[str, Any] = {
        "asked_w": 9000.0,
        "allocated_w": 8000.0,
        "missing_w": -1000.0,
        "mode": "target",
    }
    seen.status(dispatch_status("north", commandable=commandable(75, silent=25), **told))
    found = figures(seen)
    assert found["vpp_region_coverage_ratio", "north"] == 0.98
    assert found["vpp_region_commandable_ratio", "north"] == 0.75
    assert found["vpp_region_requested_watts", "north"] == 9000
    assert found["vpp_region_missing_watts", "north"] == 1000, "an amount"
    assert found["vpp_region_dispatch_active", "north", "target"] == 1
    assert found["vpp_region_dispatch_active", "north", "hold"] == 0


def test_old_records_are_no_figures() -> None:
    """A worker that no longer has the regions must not report what they were."""
    seen = RegionFigures()
    seen.live(region_live("north"))
    seen.status(dispatch_status("north"))
    assert figures(seen, NOW_MS + FRESH_MS)
    assert not figures(seen, NOW_MS + FRESH_MS + 1)


def test_without_a_request_nothing_is_requested_or_missing() -> None:
    seen = RegionFigures()
    seen.status(dispatch_status("north", mode="idle", asked_w=None))
    names = {key[0] for key in figures(seen)}
    assert not names & {"vpp_region_requested_watts", "vpp_region_missing_watts"}


def test_no_site_that_reports_is_no_power_of_0() -> None:
    seen = RegionFigures()
    seen.live(region_live("north", sites_reporting=0, soc=None))
    found = figures(seen)
    assert ("vpp_region_power_watts", "north", "battery") not in found
    assert found["vpp_region_soc_ratio", "north"] is None


def test_each_reading_s_age_counts_once() -> None:
    seen, health = RegionFigures(), HealthReporter("region")
    seen.report_to(health, lambda: NOW_MS)
    seen.live(region_live("north", fresh_ages_ms=((400, 30), (2_500, 2))))
    seen.live(region_live("north", fresh_ages_ms=((600, 8),)))
    counts = dict(health.histograms["vpp_reading_age_seconds"]["north"].cumulative())
    assert (counts["0.5"], counts["1.0"], counts["3.0"], counts["+Inf"]) == (30, 38, 40, 40)
