"""Every topic's name, in one place, with its partitions and how it is kept."""

from dataclasses import dataclass
from typing import Literal

PARTITIONS = 8
"""Partitions of every site-keyed topic; the same everywhere, checked at start."""
GATEWAY_SLOTS = 8
"""Partitions of ``gateway.out``: one per running gateway process."""
DAY_MS = 86_400_000

Keep = Literal["delete", "compact"]


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as the code names it; `full` is its name on the broker."""

    name: str
    partitions: int = PARTITIONS
    keep: Keep = "delete"
    retention_ms: int = 7 * DAY_MS
    broker_time: bool = False
    """Whether records carry the broker's time instead of their writer's."""

    def full(self, namespace: str) -> str:
        """Name on the broker: ``<namespace>.<name>`` or the bare name."""
        return f"{namespace}.{self.name}" if namespace else self.name


RAW_POWERWALL = Topic("raw.powerwall")
RAW_SOLAR = Topic("raw.solar")
RAW_MEGAPACK = Topic("raw.megapack")
RAW_BACKFILL = Topic("raw.backfill")
TELEMETRY = Topic("telemetry", broker_time=True)
TELEMETRY_REJECTED = Topic("telemetry.rejected", retention_ms=30 * DAY_MS)
ASSETS = Topic("assets", keep="compact")
PRESENCE = Topic("presence", keep="compact")
SITE_WINDOWS = Topic("site.windows", retention_ms=30 * DAY_MS)
REGION_PARTIALS = Topic("region.partials", partitions=1, retention_ms=DAY_MS)
REGION_WINDOWS = Topic("region.windows", partitions=1, retention_ms=30 * DAY_MS)
REGION_LIVE = Topic("region.live", partitions=1, retention_ms=DAY_MS)
REGION_FORECASTS = Topic("region.forecasts", partitions=1, retention_ms=30 * DAY_MS)
DISPATCH_TARGETS = Topic("dispatch.targets", partitions=1, keep="compact")
DISPATCH = Topic("dispatch", retention_ms=7 * DAY_MS)
DISPATCH_EVENTS = Topic("dispatch.events", partitions=1, retention_ms=30 * DAY_MS)
COMMANDS = Topic("commands", retention_ms=30 * DAY_MS)
COMMAND_EVENTS = Topic("command.events", retention_ms=30 * DAY_MS)
GRID_FREQUENCY = Topic("grid.frequency", partitions=1, retention_ms=7 * DAY_MS)
GRID_ALERTS = Topic("grid.alerts", partitions=1, keep="compact")
MARKET_PRICES = Topic("market.prices", partitions=1, keep="compact")
MARKET_BIDS = Topic("market.bids", partitions=1, retention_ms=30 * DAY_MS)
MARKET_AWARDS = Topic("market.awards", partitions=1, retention_ms=30 * DAY_MS)
GATEWAY_OUT = Topic("gateway.out", partitions=GATEWAY_SLOTS, retention_ms=DAY_MS)
HEALTH = Topic("health", partitions=1, retention_ms=DAY_MS)

RAW_BY_KIND = {"powerwall": RAW_POWERWALL, "solar": RAW_SOLAR, "megapack": RAW_MEGAPACK}
LIVE_RAW = tuple(RAW_BY_KIND.values())
ALL = (
    *LIVE_RAW,
    RAW_BACKFILL,
    TELEMETRY,
    TELEMETRY_REJECTED,
    ASSETS,
    PRESENCE,
    SITE_WINDOWS,
    REGION_PARTIALS,
    REGION_WINDOWS,
    REGION_LIVE,
    REGION_FORECASTS,
    DISPATCH_TARGETS,
    DISPATCH,
    DISPATCH_EVENTS,
    COMMANDS,
    COMMAND_EVENTS,
    GRID_FREQUENCY,
    GRID_ALERTS,
    MARKET_PRICES,
    MARKET_BIDS,
    MARKET_AWARDS,
    GATEWAY_OUT,
    HEALTH,
)

CHANGELOGS = (
    Topic("fleet-fleet-v3-changelog", keep="compact"),
    Topic("region-region-shares-changelog", partitions=1, keep="compact"),
    Topic("region-requests-changelog", partitions=1, keep="compact"),
)
"""Of the Faust tables (``<app>-<table>-changelog``). We make them before a worker starts: Faust's
own leave a first worker without partitions, for good, where the broker is slow to tell of them."""
