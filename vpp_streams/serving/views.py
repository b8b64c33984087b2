"""The API's answers: the schemas of its JSON documents (units in the names, null = unknown)."""

from typing import Literal

import msgspec

from schemas.assets import Site, SiteState
from schemas.commandable import Hindrance
from schemas.presence import Presence
from schemas.rejected import RefusalReason
from schemas.windows import Deliverable, RegionWindow, SiteWindow
from vpp_streams.domain.control.standing import Standing
from vpp_streams.domain.explorer.site_values import SiteLevel


class RegionView(msgspec.Struct, frozen=True, kw_only=True):
    """A region now. Powers are sums of reporting sites; battery + = discharge, grid + = import."""

    region: str
    at_ms: int
    """When it was merged."""
    heard_ago_s: float
    """Time since this process received its newest record."""
    stale: bool
    """Nothing was received for 10 s: the values are the last known ones."""
    coverage: float
    """sites_reporting / sites_expected, 0..1."""
    sites_expected: int
    sites_reporting: int
    oldest_sample_age_s: float | None
    """Age of the oldest latest sample among the reporting sites."""
    partitions_expected: int
    partitions_reporting: int
    soc: float | None
    """Stored / usable energy, 0..1."""
    battery_w: float | None
    """The powers are null while no site reports."""
    grid_w: float | None
    solar_w: float | None
    load_w: float | None
    stored_wh: float
    usable_wh: float
    deliverable: tuple[Deliverable, ...]
    """Battery power that could be held for each duration from now on."""
    age_p50_ms: float | None
    age_p99_ms: float | None
    standing: Standing | None = None
    """Its standing: a label, and the findings behind it."""
    forecast_known_at_ms: int | None = None
    """When its newest forecast was made (see ``/forecast``); null = there is none yet."""


class RegionList(msgspec.Struct, frozen=True, kw_only=True):
    """Every region now, by name."""

    regions: list[RegionView]


class RegionHistory(msgspec.Struct, frozen=True, kw_only=True):
    """A region's live values of the last half hour as columns of one length, oldest first."""

    region: str
    at_ms: list[int]
    battery_w: list[float | None]
    grid_w: list[float | None]
    solar_w: list[float | None]
    load_w: list[float | None]
    soc: list[float | None]
    coverage: list[float]


class RegionWindows(msgspec.Struct, frozen=True, kw_only=True):
    """A region's closed windows of one size, newest first, each in its newest revision."""

    region: str
    size_s: int
    windows: list[RegionWindow]


class SiteRow(msgspec.Struct, frozen=True, kw_only=True):
    """A site in a list, with its newest values; null = not measured lately."""

    site_id: str
    region: str
    state: SiteState
    """Only an active site is expected, offered and commanded."""
    feeder: str | None = None
    kinds: list[str]
    """Kinds of its devices."""
    devices: int
    connected: int
    """Devices that are connected to a gateway."""
    rated_energy_wh: float
    rated_discharge_w: float
    rated_solar_w: float
    level: SiteLevel = "quiet"
    """``good``: complete. ``warn``: something is missing. ``bad``: it is silent, not connected, or
    has an alarm. ``quiet``: it is not active."""
    received_at_ms: int | None = None
    """When its newest reading was received; null = none since this process started."""
    soc: float | None = None
    """Of its batteries together, 0..1."""
    battery_w: float | None = None
    grid_w: float | None = None
    solar_w: float | None = None
    batteries: int = 0
    """Devices with a battery."""
    commandable: int = 0
    """Of these, the ones that can be commanded, as far as this process knows."""
    why: Hindrance | None = None
    """What hinders its batteries; of several causes, the most important one."""
    alarmed: bool = False
    """Whether a device of it does not report the desired power."""
    latitude: float | None = None
    longitude: float | None = None
    backup_reserve: float | None = None
    """What is kept for the owner, 0..1: the owner's decision, else the registered reserve."""
    reserve_raised: bool = False
    """Whether the owner keeps more than is registered."""
    storm_mode: bool = True
    """Whether announced storms fill the battery."""
    paused_until_ms: int | None = None
    """Until then the owner takes no part; null = does not pause."""
    skipping: bool = False
    """Whether the owner takes no part in the request that the region carries out now."""
    left: bool = False
    """Whether the owner has left: it is measured and never commanded."""


class SitePage(msgspec.Struct, frozen=True, kw_only=True):
    """Sites that match a query, in its order."""

    sites: list[SiteRow]
    total: int
    """Number of sites that match the query, on all pages."""
    next_cursor: str | None
    """Value of ``cursor`` for the next page, in the order of ids; null on the last page, and in
    every other order (use ``offset`` there)."""


class ClusterView(msgspec.Struct, frozen=True, kw_only=True):
    """Sites that are close together on the map."""

    latitude: float
    longitude: float
    sites: int
    levels: dict[SiteLevel, int]
    """Number of sites by level."""
    site_id: str | None
    """The site, if it is a single one."""


class MapView(msgspec.Struct, frozen=True, kw_only=True):
    """The sites that match a query as clusters on a map."""

    total: int
    """Number of sites that match, on the map or not."""
    without_position: int
    box: tuple[float, float, float, float] | None
    """South, west, north and east of all that match; null = none has a position."""
    clusters: list[ClusterView]
    """Those inside the requested box."""


class Desired(msgspec.Struct, frozen=True, kw_only=True):
    """A device's newest command, as the fleet worker has it."""

    command_id: str
    request_id: str = ""
    state: str = ""
    setpoint_w: float | None = None
    """Battery power, + = discharge; null = the command ends the previous lease."""
    created_at_ms: int | None = None
    valid_until_ms: int | None = None
    standing: bool = False
    """Whether the device has a lease now, as far as is known."""


class DeviceTwin(msgspec.Struct, frozen=True, kw_only=True):
    """The newest reading of one device, from the fleet worker; null = not measured."""

    device_id: str
    measured_at_ms: int | None = None
    received_at_ms: int | None = None
    battery_w: float | None = None
    grid_w: float | None = None
    solar_w: float | None = None
    load_w: float | None = None
    soc: float | None = None
    frequency_hz: float | None = None
    voltage_v: float | None = None
    temperature_c: float | None = None
    islanded: bool | int | None = None
    quality: int | str | None = None
    readings: int | None = None
    duplicates: int | None = None
    desired: Desired | None = None
    """null = it has no recent command."""


class Twin(msgspec.Struct, frozen=True, kw_only=True):
    """A site's devices as the fleet worker has them."""

    site_id: str
    partition: int
    stream_time_ms: int | None = None
    devices: list[DeviceTwin] = []


class SiteDetail(msgspec.Struct, frozen=True, kw_only=True):
    """A site: its record in the registry, its connections, and its twin."""

    site: Site
    """As in the registry, without the devices' token hashes."""
    state: SiteState
    presence: list[Presence]
    twin: Twin | None
    twin_error: str | None
    """Why there is no twin, in one sentence."""


class SiteWindows(msgspec.Struct, frozen=True, kw_only=True):
    """A site's closed windows of one size, newest first, each in its newest revision."""

    site_id: str
    size_s: int
    windows: list[SiteWindow]


class RejectedRow(msgspec.Struct, frozen=True, kw_only=True):
    """A rejected reading with the received bytes."""

    rejected_id: str
    reason: str
    detail: str
    received_at_ms: int
    source: str
    """``<topic>/<partition> @ <offset>, line <n>``"""
    device_id: str | None
    site_id: str | None
    original: str
    """The bytes as text, cut after 2000 characters; binary bytes are shown in hex."""
    original_bytes: int


class RejectedPage(msgspec.Struct, frozen=True, kw_only=True):
    """Rejected readings, newest first, and their number by reason."""

    counts: dict[str, int]
    """By reason, of all that this process has received (from the last hour on)."""
    rejected: list[RejectedRow]


class RejectedRecordRow(msgspec.Struct, frozen=True, kw_only=True):
    """A refused record of one of our own topics, with the reason."""

    rejected_id: str
    topic: str
    partition: int
    offset: int
    written_at_ms: int
    at_ms: int
    """When it was refused."""
    reason: RefusalReason
    detail: str
    process: str
    """The process that refused it first."""
    original: str
    """The received bytes as text, cut if they are long; binary bytes are shown in hex."""
    original_bytes: int


class RejectedRecordsPage(msgspec.Struct, frozen=True, kw_only=True):
    """Refused records, newest first, and their number by topic."""

    lately: int
    """Refused in the last 5 minutes: more than 0 is an alarm."""
    counts: dict[str, int]
    """By topic, of all that this process has read (from the last day on)."""
    rejected: list[RejectedRecordRow]


class ProcessView(msgspec.Struct, frozen=True, kw_only=True):
    """A process by its own report, which it publishes each second."""

    process_id: str
    role: str
    state: Literal["running", "stale"]
    """stale = nothing was received for 10 s."""
    started_at_ms: int
    heard_ago_s: float
    counters: dict[str, int]
    rates_per_s: dict[str, float]
    """Increase of each counter per second over the last 10 s."""
    gauges: dict[str, float]


class AgeView(msgspec.Struct, frozen=True, kw_only=True):
    """Age of readings: from the time of measurement to the region record that includes them."""

    readings: int
    run_p50_ms: float | None
    run_p99_ms: float | None
    minute_p50_ms: float | None
    minute_p99_ms: float | None


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """The pipeline in numbers; counts never fall when a process starts again."""

    devices_connected: int
    readings_in: int
    """Live and backfilled readings that gateways accepted."""
    canonical: int
    rejected: int
    windows_closed: int
    lag: int
    """Kafka records that ingest, fleet and region still have to read."""


class HealthView(Totals, frozen=True, kw_only=True):
    """The state of the pipeline: processes, rates, lag and ages."""

    at_ms: int
    rates_per_s: dict[str, float]
    """Increase per second of each total that is a count."""
    lag_by_role: dict[str, int]
    ages: AgeView
    records_rejected_lately: int
    """Records that any process refused in the last 5 minutes: more than 0 is an alarm."""
    undecodable: dict[str, int]
    """Records that could not be read, by topic."""
    processes: list[ProcessView]


class Summary(Totals, frozen=True, kw_only=True):
    """The complete loop on one page."""

    at_ms: int
    age_p50_ms: float | None
    """Age of readings when their region shows them, over the run."""
    age_p99_ms: float | None
    regions: list[RegionView]
    processes: list[ProcessView]


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """The body of every answer that reports a problem."""

    error: str
    hint: str = ""
