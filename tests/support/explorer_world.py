"""A registry with newest readings, and what hinders its batteries: sites are found in it."""

from typing import Any

from schemas.assets import Device, Site
from schemas.commandable import HINDRANCES, Hindrance
from schemas.grid import Alert
from tests.support.telemetry_factory import make_batch
from vpp_streams.domain.explorer.live_devices import LiveDevices
from vpp_streams.domain.explorer.site_query import SiteQuery, rows_of
from vpp_streams.domain.explorer.site_table import SiteTable
from vpp_streams.domain.explorer.site_values import FREE, Known, SiteValues, values_at
from vpp_streams.domain.registry.registry import Registry

NOW_MS = 1_763_855_000_000


class ExplorerWorld:
    """A registry, its newest readings, and what hinders."""

    def __init__(self, *sites: Site) -> None:
        self.registry = Registry(sites)
        self.table, self.live = SiteTable(self.registry), LiveDevices(self.registry)
        self.barred: dict[str, Hindrance] = {}
        self.alerts: list[Alert] = []
        self.alarmed: list[str] = []
        self.ruling: dict[str, str] = {}

    def connect(self, *device_ids: str, measures_only: bool = False) -> None:
        for device_id in device_ids:
            self.live.apply_connection(device_id, connected=True, measures_only=measures_only)

    def read(self, device_id: str, at_ms: int = NOW_MS - 1000, **values: Any) -> None:
        times = {"measured_at_ms": at_ms, "received_at_ms": at_ms}
        row = {"device_id": device_id, "site_id": "-", "seq": 1, **times, **values}
        self.live.apply_readings(make_batch([row]))

    def values(self) -> SiteValues:
        self.table.refresh()
        known = Known(
            barred=self.barred,
            alerts=self.alerts,
            alarmed=self.alarmed,
            now_ms=NOW_MS,
            ruling=self.ruling,
        )
        return values_at(
            self.registry, self.table, self.live, known, silent_before_ms=NOW_MS - 10_000
        )

    def find(self, **query: Any) -> list[str]:
        values = self.values()
        rows = rows_of(SiteQuery(**query), self.registry, self.table, values)
        return [site.site_id for row in rows if (site := self.table.sites[row])]

    def of(self, site_id: str, name: str) -> Any:
        values = self.values()
        [row] = [i for i, site in enumerate(self.table.sites) if site and site.site_id == site_id]
        return getattr(values, name)[row]

    def why(self, site_id: str) -> str | None:
        number = self.of(site_id, "why")
        return None if number == FREE else HINDRANCES[number]


def home(number: int, region: str = "north", devices: int = 1, **changes: Any) -> Site:
    batteries = tuple(
        Device(f"pw-{number}-{n}", "powerwall", "", 10_000.0, 5_000.0, 5_000.0)
        for n in range(devices)
    )
    return Site(f"home-{number}", region, batteries, **changes)


def working(number: int, **changes: Any) -> ExplorerWorld:
    """A home that is connected and reports."""
    world = ExplorerWorld(home(number, **changes))
    world.connect(f"pw-{number}-0")
    world.read(f"pw-{number}-0", soc=0.5, battery_w=800.0)
    return world
