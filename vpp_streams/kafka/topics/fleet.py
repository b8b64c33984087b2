"""Windows and regions: what the fleet is and does."""

from typing import Any

from schemas.dispatch import SupplyPartial
from schemas.forecast import RegionForecast
from schemas.holders import Holder
from schemas.windows import RegionLive, RegionPartial, RegionWindow, RegionWindowPartial
from vpp_streams.domain.moments import DAY_MS
from vpp_streams.kafka.topic import Key, Topic, by

SITE_WINDOWS = Topic[Any](  # of SiteWindow and frames of them, of which pyarrow ships no types
    "site.windows",
    "energy and power by site in windows of 1 and 15 min; a higher revision replaces a lower",
    "windows",
    partition="sites",
    retention_ms=30 * DAY_MS,
)
Partial = RegionPartial | RegionWindowPartial | SupplyPartial
REGION_PARTIALS = Topic[Partial](
    "region.partials",
    "each fleet partition's share of its regions: live, of closed windows, and its supply",
    Partial,
    by("region"),
    partitions=1,
    partition="single",
    retention_ms=DAY_MS,
)
REGION_WINDOWS = Topic[RegionWindow](
    "region.windows",
    "regions in windows of 1 and 15 min, once every partition has told its share",
    RegionWindow,
    by("region"),
    partitions=1,
    partition="single",
    retention_ms=30 * DAY_MS,
)
REGION_LIVE = Topic[RegionLive](
    "region.live",
    "the region now",
    RegionLive,
    by("region"),
    partitions=1,
    partition="single",
    retention_ms=DAY_MS,
)
REGION_FORECASTS = Topic[RegionForecast](
    "region.forecasts",
    "load and solar power of regions for the day ahead, and how good the last ones were",
    RegionForecast,
    by("region"),
    partitions=1,
    partition="single",
    retention_ms=30 * DAY_MS,
)
FLEET_HOLDERS = Topic[Holder](
    "fleet.holders",
    "which fleet worker holds which partition, and answers for its sites",
    Holder,
    Key("partition", lambda holder: str(holder.partition)),
    partitions=1,
    partition="single",
    keep="compact",
)
