"""The fleet explorer: sites by filter and order, in pages, as CSV and on a map; pure."""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from math import isnan
from typing import Protocol

import pyarrow as pa

from schemas.assets import Site
from schemas.commandable import HINDRANCES, Hindrance
from schemas.grid import Alert
from schemas.presence import Presence
from vpp_streams.domain.arrays import Array, Ints
from vpp_streams.domain.explorer.clusters import Box, Cluster, box_of, clusters, placed
from vpp_streams.domain.explorer.live_devices import LiveDevices
from vpp_streams.domain.explorer.site_query import SiteQuery, rows_of
from vpp_streams.domain.explorer.site_table import SiteTable
from vpp_streams.domain.explorer.site_values import FREE, LEVELS, Known, SiteValues, values_at
from vpp_streams.domain.registry.registry import Registry
from vpp_streams.serving.newest_commands import Commands
from vpp_streams.serving.views import ClusterView, MapView, SitePage, SiteRow

SILENT_MS = 10_000
"""A device without a reading for this long is silent."""


class Storms(Protocol):
    """The storms that are expected."""

    def __call__(self, now_ms: int) -> list[Alert]:
        """Those that have neither ended nor been cancelled."""
        ...


class Explorer:
    """The registered sites with their newest values, for lists and maps."""

    def __init__(
        self,
        registry: Registry,
        commands: Commands,
        storms: Storms,
        ruling: Callable[[int], Mapping[str, str]],
        started_at_ms: int,
    ) -> None:
        """Readings are received from ``started_at_ms`` on: nothing is silent before.

        ``ruling`` gives the request that each region carries out at a time in ms.
        """
        self._registry = registry
        self._commands = commands
        self._storms = storms
        self._ruling = ruling
        self._started_at_ms = started_at_ms
        self._table = SiteTable(registry)
        self._live = LiveDevices(registry)

    def apply_readings(self, batch: pa.RecordBatch) -> None:
        """Apply a batch of canonical telemetry."""
        self._live.apply_readings(batch)

    def apply_presence(self, device_id: str, presence: Presence | None) -> None:
        """Apply a device's connection as it is now; None = nothing is known of it any more."""
        self._live.apply_connection(
            device_id,
            connected=presence is not None and presence.status == "connected",
            measures_only=presence is not None and presence.measures_only,
        )

    def page(
        self, query: SiteQuery, now_ms: int, *, limit: int, offset: int = 0, cursor: str = ""
    ) -> SitePage:
        """At most ``limit`` of the sites that match, from ``offset`` on.

        In the order of ids, ``cursor`` is the id after which the page begins instead.
        """
        rows, values = self._find(query, now_ms)
        by_id = query.sort == "site_id" and not query.descending
        if cursor and by_id:
            offset = bisect_right(rows, cursor, key=self._id_of)
        page = rows[offset : offset + limit]
        more = offset + limit < len(rows)
        return SitePage(
            sites=[self._row(row, values) for row in page.tolist()],
            total=len(rows),
            next_cursor=self._id_of(page[-1]) if more and by_id else None,
        )

    def all(self, query: SiteQuery, now_ms: int) -> Iterator[SiteRow]:
        """All sites that match, as they are at ``now_ms``."""
        rows, values = self._find(query, now_ms)
        columns = self._table.columns
        sites = [(row, site) for row in rows.tolist() if (site := self._table.sites[row])]
        return (_row(site, row, values, columns) for row, site in sites)

    def map(self, query: SiteQuery, now_ms: int, box: Box, cell_deg: float) -> MapView:
        """The sites that match as clusters by cell, of those inside the box."""
        rows, values = self._find(query, now_ms)
        on_map = placed(rows, self._table)
        found = clusters(on_map, self._table, values, box, cell_deg)
        return MapView(
            total=len(rows),
            without_position=len(rows) - len(on_map),
            box=box_of(on_map, self._table),
            clusters=[self._cluster(one) for one in found],
        )

    def frequency_hz(self, region: str, now_ms: int) -> float | None:
        """Frequency of a region's grid, as its devices measure it; None = not measured lately."""
        return self._live.frequency_hz(region, now_ms - SILENT_MS)

    def _find(self, query: SiteQuery, now_ms: int) -> tuple[Ints, SiteValues]:
        self._table.refresh()
        alarms = self._commands.alarms(now_ms)
        known = Known(
            barred=_hindrances(self._commands, now_ms),
            alerts=[alert for alert in self._storms(now_ms) if alert.prepare_from_ms <= now_ms],
            alarmed={alarm.site_id for alarm in alarms if alarm.site_id is not None},
            now_ms=now_ms,
            ruling=self._ruling(now_ms),
        )
        long_enough = now_ms - self._started_at_ms >= SILENT_MS
        values = values_at(
            self._registry,
            self._table,
            self._live,
            known,
            silent_before_ms=now_ms - SILENT_MS if long_enough else 0,
        )
        return rows_of(query, self._registry, self._table, values), values

    def _id_of(self, row: int) -> str:
        site = self._table.sites[row]
        assert site is not None  # retired sites match no query
        return site.site_id

    def _row(self, row: int, values: SiteValues) -> SiteRow:
        site = self._table.sites[row]
        assert site is not None  # retired sites match no query
        return _row(site, row, values, self._table.columns)

    def _cluster(self, one: Cluster) -> ClusterView:
        count = sum(one.counts)
        return ClusterView(
            latitude=one.latitude,
            longitude=one.longitude,
            sites=count,
            levels=dict(zip(LEVELS, one.counts, strict=True)),
            site_id=self._id_of(one.row) if count == 1 else None,
        )


def _hindrances(commands: Commands, now_ms: int) -> dict[str, Hindrance]:
    """Devices barred by their last answer. A gateway's "not connected" is left to presence."""
    known: dict[str, Hindrance] = {cause: cause for cause in HINDRANCES}
    barred = commands.barred(now_ms).items()
    return {name: known[cause] for name, cause in barred if cause in known}


def _row(site: Site, row: int, values: SiteValues, columns: Mapping[str, Array]) -> SiteRow:
    why = int(values.why[row])
    return SiteRow(
        site_id=site.site_id,
        region=site.region,
        state=site.state,
        feeder=site.feeder,
        kinds=sorted({device.kind for device in site.devices}),
        devices=len(site.devices),
        connected=int(values.connected[row]),
        rated_energy_wh=sum(d.rated_energy_wh for d in site.devices),
        rated_discharge_w=sum(d.rated_discharge_w for d in site.devices),
        rated_solar_w=sum(d.rated_solar_w for d in site.devices),
        level=LEVELS[values.level[row]],
        received_at_ms=int(values.received_at_ms[row]) or None,
        soc=_measured(values.soc[row]),
        battery_w=_measured(values.battery_w[row]),
        grid_w=_measured(values.grid_w[row]),
        solar_w=_measured(values.solar_w[row]),
        batteries=int(values.batteries[row]),
        commandable=int(values.commandable[row]),
        why=None if why == FREE else HINDRANCES[why],
        alarmed=bool(values.alarmed[row]),
        latitude=site.latitude,
        longitude=site.longitude,
        backup_reserve=float(columns["backup_reserve"][row]),
        reserve_raised=bool(columns["reserve_raised"][row]),
        storm_mode=bool(columns["storm_mode"][row]),
        paused_until_ms=int(columns["paused_until_ms"][row]) if values.paused[row] else None,
        skipping=bool(values.skipping[row]),
        left=bool(columns["left"][row]),
    )


def _measured(value: float) -> float | None:
    return None if isnan(value) else float(value)
