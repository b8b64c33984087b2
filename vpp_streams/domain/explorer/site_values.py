"""What is known of each site at one moment: measured values, and what hinders its batteries.

The fleet role decides which batteries it commands; this is what follows from the same records
for a list of sites: connections, readings, refusals and storms.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

import numpy as np
import pyarrow as pa

from schemas.commandable import HINDRANCES, Hindrance
from schemas.grid import Alert
from vpp_streams.domain.arrays import Array, Floats, Ints, Mask
from vpp_streams.domain.explorer.live_devices import LiveDevices
from vpp_streams.domain.explorer.site_table import ACTIVE, SiteTable
from vpp_streams.domain.fleet.metering import counted
from vpp_streams.domain.registry.name_index import UNKNOWN
from vpp_streams.domain.registry.registry import Registry

SiteLevel = Literal["good", "warn", "bad", "quiet"]
"""``good``: all of its devices are connected and report, and its batteries can be commanded.
``warn``: some of it is missing. ``bad``: nothing was received of it lately, none of its devices is
connected, or it has an alarm. ``quiet``: it is not active."""
LEVELS: tuple[SiteLevel, ...] = get_args(SiteLevel)
FREE = -1
"""Number of no hindrance; others are indices of `HINDRANCES`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What else hinders batteries, or concerns sites, at a moment."""

    barred: Mapping[str, Hindrance]
    """Devices that are not commanded for a while after their last answer."""
    alerts: Iterable[Alert] = ()
    """Storms for which batteries are kept now."""
    alarmed: Iterable[str] = ()
    """Sites with an alarm."""
    now_ms: int = 0
    ruling: Mapping[str, str] = field(default_factory=dict)
    """Region -> the request that it carries out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteValues:
    """Columns of shape (sites,), by the rows of the `SiteTable`; NaN = not measured."""

    connected: Ints
    """Number of its devices that are connected."""
    received_at_ms: Ints
    """When its newest reading was received; 0 = not since the start."""
    silent: Mask
    soc: Floats
    """Of its batteries whose state of charge is known, by energy, 0..1."""
    battery_w: Floats
    grid_w: Floats
    solar_w: Floats
    batteries: Ints
    commandable: Ints
    """Number of its batteries that can be commanded; 0 where it is not active."""
    why: Ints
    """Index in `HINDRANCES` of what hinders its batteries; `FREE` = nothing."""
    alarmed: Mask
    paused: Mask
    """Whether the owner takes no part for a while."""
    skipping: Mask
    """Whether the owner takes no part in the request that the region carries out."""
    level: Ints
    """Index in `LEVELS`."""


def values_at(
    registry: Registry,
    table: SiteTable,
    live: LiveDevices,
    known: Known,
    *,
    silent_before_ms: int,
) -> SiteValues:
    """The values now; a device without a reading since ``silent_before_ms`` is silent."""
    sites = len(table.sites)
    every = registry.columns.devices.known("site")
    rows = np.flatnonzero(every != UNKNOWN)
    site = every[rows].astype(np.intp)
    own = {name: registry.columns.devices.known(name)[rows] for name in ("meters", "panels")}
    energy_wh = registry.columns.devices.known("rated_energy_wh")[rows]
    now = {name: column[rows] for name, column in live.columns().items()}
    recent = now["received_at_ms"] >= silent_before_ms
    soc = np.where(recent, now["soc"], np.nan)
    now |= {"soc": soc, "recent": recent}
    paused = table.columns["paused_until_ms"] > known.now_ms
    skipping = _skipping(registry, table, known.ruling)
    now |= {"declined": (paused | skipping | table.columns["left"])[site]}
    why = _hindrances(registry, table, live, known, now=now, rows=rows, site=site)

    def total(values: Array) -> Floats:
        return np.bincount(site, values, sites).astype(np.float64)

    def power_w(name: str, adds_up: Mask | None) -> Floats:
        measured = recent & np.isfinite(now[name])
        if adds_up is not None:
            measured = counted(site, sites, measured, adds_up, None)
        watts = total(np.where(measured, now[name], 0.0))
        return np.where(total(measured) > 0, watts, np.nan)

    battery = energy_wh > 0
    usable_wh = total(np.where(np.isfinite(soc) & battery, energy_wh, 0.0))
    stored_wh = total(np.where(np.isfinite(soc) & battery, soc * energy_wh, 0.0))
    received = np.zeros(sites, np.int64)
    np.maximum.at(received, site, now["received_at_ms"])
    active = table.columns["state"] == ACTIVE
    hindered = np.flatnonzero(battery & (why != FREE))
    values = SiteValues(
        connected=total(now["connected"]).astype(np.int64),
        received_at_ms=received,
        silent=(received < silent_before_ms) & (table.columns["devices"] > 0),
        soc=np.divide(stored_wh, usable_wh, out=np.full(sites, np.nan), where=usable_wh > 0),
        battery_w=power_w("battery_w", None),
        grid_w=power_w("grid_w", own["meters"]),
        solar_w=power_w("solar_w", own["panels"]),
        batteries=total(battery).astype(np.int64),
        commandable=np.where(active, total(battery & (why == FREE)), 0).astype(np.int64),
        why=np.where(active, _worst(why[hindered], site[hindered], sites), FREE),
        alarmed=_alarmed(registry, known.alarmed, sites),
        paused=paused,
        skipping=skipping,
        level=np.zeros(sites, np.int64),
    )
    return replace(values, level=_level(values, table.columns["devices"], active))


def _worst(why: Ints, site: Ints, sites: int) -> Ints:
    """Of the hindrances of each site's batteries the first in `HINDRANCES`; `FREE` = none."""
    worst = np.full(sites, len(HINDRANCES))
    np.minimum.at(worst, site, why)
    return np.where(worst < len(HINDRANCES), worst, FREE)


def _level(values: SiteValues, devices: Ints, active: Mask) -> Ints:
    """The index in `LEVELS` of each site, from its other values."""
    bad = values.silent | ((values.connected == 0) & (devices > 0)) | values.alarmed
    short = values.connected < devices
    short |= values.commandable < values.batteries
    short |= values.received_at_ms == 0
    return np.select([~active, bad, short], [3, 2, 1], 0)


def _hindrances(
    registry: Registry,
    table: SiteTable,
    live: LiveDevices,
    known: Known,
    *,
    now: Mapping[str, Array],
    rows: Ints,
    site: Ints,
) -> Ints:
    """What hinders each device, an index in `HINDRANCES`; of several, the first in that order."""
    barred = np.full(len(live.columns()["soc"]), FREE)
    if known.barred:
        at = live.rows(list(known.barred))
        causes = np.array([HINDRANCES.index(cause) for cause in known.barred.values()])
        barred[at[at != UNKNOWN]] = causes[at != UNKNOWN]
    why: dict[Hindrance, Array] = {
        "not_connected": ~now["connected"],
        "silent": ~now["recent"],
        "islanded": now["islanded"] == 1,
        "storm": _kept(registry, table, known.alerts)[site],
        "unmeasured": ~np.isfinite(now["soc"]),
        "measures_only": now["measures_only"],
        "opted_out": now["declined"],
    }
    found = barred[rows]
    for cause, hindered in why.items():
        number = HINDRANCES.index(cause)
        found = np.where(hindered & ((found == FREE) | (found > number)), number, found)
    return found


def _kept(registry: Registry, table: SiteTable, alerts: Iterable[Alert]) -> Mask:
    """Sites whose batteries are kept for their owners because of a storm."""
    kept = np.zeros(len(table.sites), np.bool_)
    own_region = registry.columns.sites.known("own_region")
    names = registry.columns.regions.names
    for alert in alerts:
        codes = [names.index(region) for region in alert.regions if region in names]
        kept |= np.isin(own_region, codes)
        kept[_rows(registry, alert.site_ids)] = True
    return kept


def _skipping(registry: Registry, table: SiteTable, ruling: Mapping[str, str]) -> Mask:
    """Sites whose owners take no part in the request that applies to their region now."""
    skipping = np.zeros(len(table.sites), np.bool_)
    site_ids = [
        site_id
        for site_id, skipped in registry.skips.items()
        if (site := registry.site(site_id)) is not None and ruling.get(site.region) in skipped
    ]
    skipping[_rows(registry, site_ids)] = True
    return skipping


def _alarmed(registry: Registry, site_ids: Iterable[str], sites: int) -> Mask:
    alarmed = np.zeros(sites, np.bool_)
    alarmed[_rows(registry, site_ids)] = True
    return alarmed


def _rows(registry: Registry, site_ids: Iterable[str]) -> Ints:
    rows: Ints = registry.columns.site_index.find(pa.array(list(site_ids), pa.string()))
    known: Ints = rows[rows != UNKNOWN]
    return known
