"""Which sites a person looks for, and in which order."""

from collections.abc import Collection
from typing import Literal

import msgspec
import numpy as np
import pyarrow as pa

from schemas.assets import DeviceKind, SiteState
from schemas.commandable import HINDRANCES, Hindrance
from vpp_streams.domain.access.rights import Sight
from vpp_streams.domain.arrays import Floats, Ints, Mask
from vpp_streams.domain.explorer.site_table import KINDS, STATES, SiteTable
from vpp_streams.domain.explorer.site_values import LEVELS, SiteLevel, SiteValues
from vpp_streams.domain.registry.registry import Registry

SortKey = Literal[
    "site_id", "region", "state", "level", "connected", "received", "soc", "battery_w", "grid_w",
    "solar_w", "rated_energy_wh", "rated_solar_w", "commandable", "backup_reserve",
]  # fmt: skip
OwnersChoice = Literal["reserve_raised", "no_storm_mode", "paused", "skipping", "left"]
"""``reserve_raised``: above the registered reserve. ``no_storm_mode``: storms do not fill the
battery. ``paused``: takes no part for a while; ``skipping``: in the request of now; ``left``: any
more."""


class SiteQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Filters, all of which have to match, and an order; None = any."""

    text: str = ""
    """Part of a site's or device's id."""
    device: str | None = None
    """The complete id of one of its devices."""
    region: str | None = None
    state: SiteState | None = None
    level: SiteLevel | None = None
    kind: DeviceKind | None = None
    connected: bool | None = None
    """Whether all of its devices are connected."""
    commandable: bool | None = None
    """Whether all of its batteries can be commanded: of active sites with batteries only."""
    why: Hindrance | None = None
    """What hinders its batteries."""
    silent: bool | None = None
    alarmed: bool | None = None
    owner: OwnersChoice | None = None
    """What its owner decided."""
    soc_min: float | None = None
    soc_max: float | None = None
    within: Sight | None = None
    """What the person may see; None = everything."""
    sort: SortKey = "site_id"
    """Sites that are equal in it are in the order of their ids; what is not measured is last."""
    descending: bool = False


def rows_of(query: SiteQuery, registry: Registry, table: SiteTable, values: SiteValues) -> Ints:
    """Rows of the sites that match, in the query's order."""
    rows = table.by_id
    rows = rows[_matching(query, registry, table, values)[rows]]
    if query.sort == "site_id":
        return rows[::-1] if query.descending else rows
    keys = _keys(query.sort, registry, table, values)[rows]
    known = np.isfinite(keys)
    ranked = rows[known][
        np.argsort(-keys[known] if query.descending else keys[known], kind="stable")
    ]
    return np.concatenate([ranked, rows[~known]])


def _matching(query: SiteQuery, registry: Registry, table: SiteTable, values: SiteValues) -> Mask:
    match = table.there
    if query.text:
        match &= table.mention(query.text)
    if query.device is not None:
        found = registry.device(query.device)
        ids = pa.array([found[1].site_id] if found else [], pa.string())
        match &= np.isin(np.arange(len(match)), registry.columns.site_index.find(ids))
    if query.within is not None:
        match &= _within(query.within, registry)
    if query.region is not None:
        match &= _in_regions({query.region}, registry)
    if query.state is not None:
        match &= table.columns["state"] == STATES.index(query.state)
    if query.kind is not None:
        match &= (table.columns["kinds"] & (1 << KINDS.index(query.kind))) > 0
    return match & _live(query, table, values)


def _within(sight: Sight, registry: Registry) -> Mask:
    match = _in_regions(sight.regions, registry)
    rows = registry.columns.site_index.find(pa.array(sorted(sight.site_ids), pa.string()))
    match[rows[rows >= 0]] = True
    return match


def _in_regions(regions: Collection[str], registry: Registry) -> Mask:
    codes = [code for code, name in enumerate(registry.columns.regions.names) if name in regions]
    return np.isin(registry.columns.sites.known("own_region"), codes)


def _live(query: SiteQuery, table: SiteTable, values: SiteValues) -> Mask:
    """The filters that depend on the moment."""
    match = np.ones(len(table.sites), np.bool_)
    if query.level is not None:
        match &= values.level == LEVELS.index(query.level)
    if query.connected is not None:
        match &= (values.connected == table.columns["devices"]) == query.connected
    if query.commandable is not None:
        counts = (values.batteries > 0) & (values.level != LEVELS.index("quiet"))
        match &= counts & ((values.commandable == values.batteries) == query.commandable)
    if query.why is not None:
        match &= values.why == HINDRANCES.index(query.why)
    if query.silent is not None:
        match &= values.silent == query.silent
    if query.alarmed is not None:
        match &= values.alarmed == query.alarmed
    if query.owner is not None:
        match &= _decided(query.owner, table, values)
    # A comparison with NaN is false: where it is not measured, no range contains it.
    if query.soc_min is not None:
        match &= values.soc >= query.soc_min
    if query.soc_max is not None:
        match &= values.soc <= query.soc_max
    return match


def _decided(choice: OwnersChoice, table: SiteTable, values: SiteValues) -> Mask:
    match choice:
        case "paused":
            return values.paused
        case "skipping":
            return values.skipping
        case "no_storm_mode":
            return ~table.columns["storm_mode"]
        case column:
            found: Mask = table.columns[column]
            return found


def _keys(sort: SortKey, registry: Registry, table: SiteTable, values: SiteValues) -> Floats:
    """What sites are sorted by; NaN = not measured."""
    if sort == "region":
        names = registry.columns.regions.names
        rank = np.argsort(np.argsort(np.array(names, np.object_))) if names else np.zeros(0)
        # A site that is retired has no region (-1), and is not among those that match.
        return np.append(rank, np.nan)[registry.columns.sites.known("own_region")]
    if sort == "received":
        return np.where(values.received_at_ms > 0, values.received_at_ms, np.nan)
    if sort == "commandable":
        return np.where(values.batteries > 0, values.commandable, np.nan)
    if sort in table.columns:
        return table.columns[sort].astype(np.float64)
    found: Ints | Floats = getattr(values, sort)
    return found.astype(np.float64)
