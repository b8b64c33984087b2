"""The newest records of each region as metrics, in the worker that makes them."""

from collections.abc import Callable, Iterator
from typing import get_args

from schemas.dispatch import DispatchStatus, Mode
from schemas.windows import RegionLive
from vpp_streams.process.health import Figure, HealthReporter
from vpp_streams.process.metric_table import AGE_BUCKETS_S
from vpp_streams.process.weighted_histogram import WeightedHistogram

FRESH_MS = 10_000
"""An older record does not say what is now: then a region has no series, rather than old ones."""
POWERS = ("battery_w", "grid_w", "solar_w", "load_w")


class RegionFigures:
    """What this worker last published of each region."""

    def __init__(self) -> None:
        self._live: dict[str, RegionLive] = {}
        self._status: dict[str, DispatchStatus] = {}
        self._ages: dict[str, WeightedHistogram] = {}

    def report_to(self, health: HealthReporter, now_ms: Callable[[], int]) -> None:
        """Have the figures served with the other metrics of the process."""
        health.histograms["vpp_reading_age_seconds"] = self._ages
        health.figures.append(lambda: self.figures(now_ms()))

    def live(self, record: RegionLive) -> None:
        """Note a region's live record, and count the ages of the readings that it is the first
        to include.
        """
        self._live[record.region] = record
        ages = self._ages.setdefault(record.region, WeightedHistogram(AGE_BUCKETS_S))
        for age_ms, readings in record.fresh_ages_ms:
            ages.add(age_ms / 1000, readings)

    def status(self, record: DispatchStatus) -> None:
        """Note the status of a region's dispatch."""
        self._status[record.region] = record

    def figures(self, now_ms: int) -> Iterator[Figure]:
        """What is known of each region now."""
        for live in self._live.values():
            if now_ms - live.at_ms <= FRESH_MS:
                yield from _of_live(live)
        for status in self._status.values():
            if now_ms - status.at_ms <= FRESH_MS:
                yield from _of_dispatch(status)


def _of_live(live: RegionLive) -> Iterator[Figure]:
    region, sums = live.region, live.aggregate
    yield "vpp_region_sites", (region, "expected"), sums.sites_expected
    yield "vpp_region_sites", (region, "reporting"), sums.sites_reporting
    yield "vpp_region_coverage_ratio", (region,), live.coverage
    yield "vpp_region_soc_ratio", (region,), live.soc
    yield "vpp_region_oldest_sample_age_seconds", (region,), live.oldest_sample_age_s
    for name in POWERS if sums.sites_reporting else ():
        of = name.removesuffix("_w")
        yield "vpp_region_power_watts", (region, of), getattr(sums, name)


def _of_dispatch(status: DispatchStatus) -> Iterator[Figure]:
    region = status.region
    for mode in get_args(Mode):
        yield "vpp_region_dispatch_active", (region, mode), float(mode == status.mode)
    if status.asked_w is not None:
        yield "vpp_region_requested_watts", (region,), status.asked_w
        yield "vpp_region_allocated_watts", (region,), status.allocated_w
        yield "vpp_region_measured_watts", (region,), status.measured_w
        yield "vpp_region_missing_watts", (region,), abs(status.missing_w)
    found = status.commandable
    if found is not None:
        yield "vpp_region_installed_watts", (region, "registered"), found.rated_w
        yield "vpp_region_installed_watts", (region, "commandable"), found.commandable_w
        share = found.commandable_w / found.rated_w if found.rated_w else None
        yield "vpp_region_commandable_ratio", (region,), share
