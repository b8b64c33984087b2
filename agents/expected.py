"""The sites and feeders of each region, kept in step with the registry."""

from collections.abc import Mapping, Set

from agents.context import AgentContext
from vpp_streams.domain.fleet.regions import Expected, expected_sites


class ExpectedSites:
    """From which partitions each region's shares must come, and its feeders."""

    MIN_AGE_MS = 1000
    """Shortest time between two updates, ms."""

    def __init__(self, context: AgentContext) -> None:
        self._context = context
        self._version = -1
        self._made_ms = 0
        self._sites: Mapping[str, Expected] = {}
        self._feeders: dict[str, set[str]] = {}

    def of(self, region: str, now_ms: int) -> Expected:
        """Partition -> registered sites of the region in it."""
        self._refresh(now_ms)
        return self._sites.get(region, {})

    def regions(self, now_ms: int) -> Set[str]:
        """Regions with a registered site."""
        self._refresh(now_ms)
        return self._sites.keys()

    def feeders(self, now_ms: int) -> Mapping[str, Set[str]]:
        """By region; a region without a site is not there."""
        self._refresh(now_ms)
        return self._feeders

    def _refresh(self, now_ms: int) -> None:
        registry = self._context.registry
        if registry.version == self._version or now_ms - self._made_ms < self.MIN_AGE_MS:
            return
        self._version, self._made_ms = registry.version, now_ms
        self._sites = expected_sites(registry)
        self._feeders = registry.columns.feeders_by_region()
