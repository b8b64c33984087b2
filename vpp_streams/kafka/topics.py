"""Every topic in one place: its name, partitions, retention, key, and the contract of its records.

Readers decode by the contract (`vpp_streams.kafka.follower`), writers encode by it and find key
and partition here (`vpp_streams.kafka.outlet`), and ``vpp contracts`` documents it.
"""

from typing import Any

import pyarrow as pa

from schemas.assets import Site
from schemas.bounds import GATEWAY_SLOTS
from schemas.commands import CommandEvents, CommandFrame
from schemas.dispatch import Dispatch, DispatchEvent, Request, SupplyPartial
from schemas.forecast import RegionForecast
from schemas.grid import Alert, FrequencyEvent, PriceSeries
from schemas.health import Health
from schemas.holders import Holder
from schemas.identity import EnrolmentCode, IssuedCertificate, Redemption, Revocation
from schemas.incidents import IncidentRecord, incident_key
from schemas.market import Bid, Clearing, DeliveryRecord, Gate, MarketTopicRecord, PlanView
from schemas.orders import OrderBook
from schemas.preferences import Preferences
from schemas.presence import Presence
from schemas.published import PublishedSeries
from schemas.rejected import RejectedRecord
from schemas.telemetry import Rejected
from schemas.windows import RegionLive, RegionPartial, RegionWindow, RegionWindowPartial, SiteWindow
from vpp_streams.domain.moments import DAY_MS
from vpp_streams.kafka.topic import Key, Topic, by

_RAW = "what devices of kind {} send live, gathered by a gateway: frames of NDJSON lines"


def _raw(kind: str) -> Topic[bytes]:
    about = _RAW.format(kind)
    return Topic[bytes](f"raw.{kind}", about, "ndjson", partition="chosen", timed_by_broker=True)


RAW_POWERWALL, RAW_SOLAR, RAW_MEGAPACK = map(_raw, ("powerwall", "solar", "megapack"))
RAW_BACKFILL = Topic[bytes](
    "raw.backfill",
    "readings kept by devices through an outage: they correct windows, never live values",
    "ndjson",
    partition="chosen",
    timed_by_broker=True,
)
TELEMETRY = Topic[pa.RecordBatch](
    "telemetry",
    "canonical telemetry: one Arrow IPC stream of one batch of telemetry.v1 per record",
    "arrow",
    partition="chosen",
    timed_by_broker=True,
)
TELEMETRY_REJECTED = Topic[Rejected](
    "telemetry.rejected",
    "dead letters: why a row gave no reading, and its original bytes",
    Rejected,
    by("rejected_id"),
    partition="source_partition",
    retention_ms=30 * DAY_MS,
)
RECORDS_REJECTED = Topic[RejectedRecord](
    "records.rejected",
    "dead letters of every other topic: records that were refused, why, and their bytes",
    RejectedRecord,
    by("rejected_id"),
    partitions=1,
    partition="single",
    keep="compact,delete",
    retention_ms=30 * DAY_MS,
)
ASSETS = Topic[Site](
    "assets", "the registry: each site with its devices", Site, by("site_id"), keep="compact"
)
PREFERENCES = Topic[Preferences](
    "preferences",
    "what owners decide about their sites: reserve, storms, and when they take part",
    Preferences,
    by("site_id"),
    keep="compact",
)
PRESENCE = Topic[Presence](
    "presence",
    "who is connected to which gateway",
    Presence,
    by("device_id"),
    keep="compact",
)
SITE_WINDOWS = Topic[SiteWindow](
    "site.windows",
    "energy and power by site in windows of 1 and 15 min; a higher revision replaces a lower",
    SiteWindow,
    by("site_id"),
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
DISPATCH_TARGETS = Topic[Request](
    "dispatch.targets",
    "what is asked of regions: targets, limits, holds, and their withdrawal",
    Request,
    by("request_id"),
    partitions=1,
    partition="single",
    keep="compact",
)
DISPATCH = Topic[Dispatch](
    "dispatch",
    "what each fleet partition is to give for a region, each cycle",
    Dispatch,
    by("region"),
    partition="partition",
)
DISPATCH_EVENTS = Topic[DispatchEvent](
    "dispatch.events",
    "what became of requests, power that will be missing, and each region's dispatch now",
    DispatchEvent,
    by("region"),
    partitions=1,
    partition="single",
    retention_ms=30 * DAY_MS,
)
COMMANDS = Topic[CommandFrame](
    "commands",
    "the audit trail: what was asked of which devices; partition = that of the sites",
    CommandFrame,
    by("region"),
    partition="partition",
    retention_ms=30 * DAY_MS,
)
COMMAND_EVENTS = Topic[CommandEvents](
    "command.events",
    "the audit trail: what became of commands; partition = that of the sites",
    CommandEvents,
    partition="partition",
    retention_ms=30 * DAY_MS,
)
GRID_FREQUENCY = Topic[FrequencyEvent](
    "grid.frequency",
    "the grid's frequency by region",
    FrequencyEvent,
    by("region"),
    partitions=1,
    partition="single",
)
GRID_ALERTS = Topic[Alert](
    "grid.alerts",
    "storms that are coming",
    Alert,
    by("alert_id"),
    partitions=1,
    partition="single",
    keep="compact",
)
MARKET_PRICES = Topic[PriceSeries](
    "market.prices",
    "the newest prices by region",
    PriceSeries,
    by("region"),
    partitions=1,
    partition="single",
    keep="compact",
)
MARKET_BIDS = Topic[Bid](
    "market.bids",
    "what we offer, an interval each",
    Bid,
    by("bid_id"),
    partitions=1,
    partition="single",
    retention_ms=30 * DAY_MS,
)


def _award_key(record: MarketTopicRecord) -> str:
    match record:
        case Gate() | Clearing():
            return record.market
        case PlanView():
            return _plan_key(record)
        case _:
            return record.bid_id


def _plan_key(plan: PlanView) -> str:
    return f"plan:{plan.market}:{plan.region}"


MARKET_AWARDS = Topic[MarketTopicRecord](
    "market.awards",
    "gates, clearing prices, and the outcome of each bid. Only markets write here; deliveries,"
    " shortfalls and plans of older versions are still read until retention has deleted them",
    MarketTopicRecord,
    Key("bid_id, or the market of a gate or clearing", _award_key),
    partitions=1,
    partition="single",
    retention_ms=30 * DAY_MS,
)
MARKET_DELIVERIES = Topic[DeliveryRecord](
    "market.deliveries",
    "what was delivered of each award, and power that will be missing",
    DeliveryRecord,
    by("bid_id"),
    partitions=1,
    partition="single",
    retention_ms=30 * DAY_MS,
)
MARKET_PLANS = Topic[PlanView](
    "market.plans",
    "the plan and price forecast behind each bid",
    PlanView,
    Key("plan:market:region", _plan_key),
    partitions=1,
    partition="single",
    retention_ms=30 * DAY_MS,
)
MARKET_ORDERS = Topic[OrderBook](
    "market.orders",
    "what we offer into day-ahead auctions, a day each",
    OrderBook,
    by("book_id"),
    partitions=1,
    partition="single",
    retention_ms=30 * DAY_MS,
    timed_by_broker=True,
)
MARKET_PUBLISHED = Topic[PublishedSeries](
    "market.published",
    "forecasts that others publish about a market: of its prices, load, wind and solar power",
    PublishedSeries,
    Key("market:kind", lambda series: f"{series.market}:{series.kind}"),
    partitions=1,
    partition="single",
    retention_ms=30 * DAY_MS,
    timed_by_broker=True,
)
GATEWAY_OUT = Topic[CommandFrame](
    "gateway.out",
    "commands for the devices of one gateway: partition = gateway slot",
    CommandFrame,
    by("region"),
    partitions=GATEWAY_SLOTS,
    partition="slot",
    retention_ms=DAY_MS,
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
IdentityCode = EnrolmentCode | Redemption


def _identity_key(record: IdentityCode) -> str:
    match record:
        case Redemption():
            return f"{record.code_sha256}:{record.attempt}"
        case _:
            return record.code_sha256


IDENTITY_CODES = Topic[IdentityCode](
    "identity.codes",
    "one-time codes with which devices enrol, as digests, and which key used each of them first",
    IdentityCode,
    Key("code_sha256; of a redemption with its attempt", _identity_key),
    partitions=1,
    partition="single",
    keep="compact,delete",
    retention_ms=90 * DAY_MS,
)
IDENTITY_CERTIFICATES = Topic[IssuedCertificate](
    "identity.certificates",
    "every certificate that was issued to a device",
    IssuedCertificate,
    by("serial"),
    partitions=1,
    partition="single",
    keep="compact,delete",
    retention_ms=400 * DAY_MS,
)
IDENTITY_REVOCATIONS = Topic[Revocation](
    "identity.revocations",
    "devices whose earlier certificates, codes and token are refused",
    Revocation,
    by("device_id"),
    partitions=1,
    partition="single",
    keep="compact",
)
INCIDENTS = Topic[IncidentRecord](
    "incidents",
    "what people should attend to, who acknowledged it, and who was notified",
    IncidentRecord,
    Key("incident_id, with what else the record is about", incident_key),
    partitions=1,
    partition="single",
    keep="compact,delete",
    retention_ms=400 * DAY_MS,
)
HEALTH = Topic[Health](
    "health",
    "each process's counters and gauges",
    Health,
    by("process_id"),
    partitions=1,
    partition="single",
    retention_ms=DAY_MS,
)

RAW_BY_KIND = {"powerwall": RAW_POWERWALL, "solar": RAW_SOLAR, "megapack": RAW_MEGAPACK}
LIVE_RAW = tuple(RAW_BY_KIND.values())
ALL: tuple[Topic[Any], ...] = (
    *LIVE_RAW,
    RAW_BACKFILL,
    TELEMETRY,
    TELEMETRY_REJECTED,
    ASSETS,
    PREFERENCES,
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
    GATEWAY_OUT,
    GRID_FREQUENCY,
    GRID_ALERTS,
    MARKET_PRICES,
    MARKET_BIDS,
    MARKET_AWARDS,
    MARKET_DELIVERIES,
    MARKET_PLANS,
    MARKET_ORDERS,
    MARKET_PUBLISHED,
    IDENTITY_CODES,
    IDENTITY_CERTIFICATES,
    IDENTITY_REVOCATIONS,
    INCIDENTS,
    HEALTH,
    RECORDS_REJECTED,
    FLEET_HOLDERS,
)

STATE_FLEET = Topic[bytes](
    "state.fleet", "twins, windows and clock of each fleet partition, in blocks", keep="compact"
)
STATE_REGION = Topic[bytes](
    "state.region",
    "open windows of regions, and what was decided on requests",
    partitions=1,
    keep="compact",
)
SEATS_INGEST = Topic[bytes]("seats.ingest", "no records: the group of the role shares it out")
SEATS_FLEET = Topic[bytes]("seats.fleet", "no records: the group of the role shares it out")
SEATS_REGION = Topic[bytes](
    "seats.region", "no records: the group of the role shares it out", partitions=1
)
INTERNAL = (STATE_FLEET, STATE_REGION, SEATS_INGEST, SEATS_FLEET, SEATS_REGION)
"""Topics between the workers of a role; no contract for others."""
