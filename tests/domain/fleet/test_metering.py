"""Devices of one site that report the same meter: it counts once."""

import pytest

from schemas.assets import Device, Site
from schemas.windows import Aggregate, RegionPartial, SiteWindow
from tests.support.pool_world import POLICY, SITE_IDS
from tests.support.telemetry_factory import NAN, make_batch
from vpp_streams.domain.control.command_rows import CommandRows
from vpp_streams.domain.control.pool import Pool
from vpp_streams.domain.control.supplies import supplies
from vpp_streams.domain.fleet.frames import Frame, Policy
from vpp_streams.domain.fleet.partition import FleetPartition
from vpp_streams.domain.fleet.twins import Batch
from vpp_streams.domain.registry.registry import Registry

T0 = 1_800_000_000_000
SITE = SITE_IDS[0]
FIRST = Device("a", "powerwall", "", 13_500.0, 5_000.0, 11_500.0)
SECOND = Device("b", "powerwall", "", 13_500.0, 5_000.0, 11_500.0)


def told(device_id: str, **powers: float) -> dict[str, object]:
    return {"device_id": device_id, "battery_w": 0.0, "soc": 0.9} | powers


METER = {"grid_w": 3_000.0, "load_w": 3_000.0, "solar_w": 0.0}


class Home:
    """One site, whose devices report the same for two minutes."""

    def __init__(self, devices: tuple[Device, ...], *rows: dict[str, object]) -> None:
        site = Site(SITE, "north", devices, export_limit_w=5_000.0)
        self.part = FleetPartition(0, "telemetry", Registry([site]), Policy())
        self.window: SiteWindow | None = None
        self.now: Aggregate | None = None
        for second in range(130):
            self.at_ms = T0 + second * 1000
            batch = make_batch(
                [
                    {"site_id": SITE, "seq": second, "measured_at_ms": self.at_ms,
                     "received_at_ms": self.at_ms + 50} | row
                    for row in rows
                ]
            )  # fmt: skip
            out = self.part.apply(Frame(second, Batch.of(batch)))
            for partial in out.partials:
                if isinstance(partial, RegionPartial):
                    self.now = partial.aggregate
            for window in out.windows:
                self.window = window if window.start_ms == T0 + 60_000 else self.window

    def shown(self) -> tuple[float, float, float]:
        """Grid, solar and load of the region now; a minute's window must say the same."""
        assert self.now is not None
        assert self.window is not None
        means = [p.mean_w if p else 0.0 for p in (
            self.window.grid, self.window.solar, self.window.load)]  # fmt: skip
        now = (self.now.grid_w, self.now.solar_w, self.now.load_w)
        assert means == pytest.approx(now)
        return now

    def most_w(self) -> float:
        """Discharge that the batteries may be asked for together."""
        pool = Pool(self.part, CommandRows(0, self.part.twins, POLICY))
        view = pool.view_at(self.at_ms)
        everybody = view.reporting & (view.ratings.rated_energy_wh > 0)
        return float(pool.bounds(view, everybody).most_w.sum())

    def deliverable_w(self) -> tuple[float, float]:
        """What the region states as deliverable for 15 minutes: up and down."""
        assert self.now is not None
        quarter = next(d for d in self.now.deliverable if d.duration_s == 900)
        return quarter.up_w, quarter.down_w

    def net_load_w(self) -> float:
        """Load less solar power of the site, from which a region's limits are kept."""
        pool = Pool(self.part, CommandRows(0, self.part.twins, POLICY))
        (partial,) = supplies(pool, pool.view_at(self.at_ms), {})
        return sum(supply.net_load_w for supply in partial.supplies)


def test_two_batteries_that_both_report_the_meter() -> None:
    """11 kW were allowed where 8 kW fit the export limit of 5 kW beside a load of 3 kW."""
    both = Home((FIRST, SECOND), told("a", **METER), told("b", **METER))
    one = Home((FIRST, SECOND), told("a", **METER), told("b"))
    assert both.shown() == one.shown() == (3_000.0, 0.0, 3_000.0)
    assert both.most_w() == one.most_w() == pytest.approx(8_000.0)


def test_what_a_region_offers_and_limits_counts_the_meter_once() -> None:
    both = Home((FIRST, SECOND), told("a", **METER), told("b", **METER))
    assert both.deliverable_w() == pytest.approx((8_000.0, 10_000.0))
    assert both.net_load_w() == pytest.approx(3_000.0)


def test_the_marked_device_meters_the_connection() -> None:
    marked = Device("b", "powerwall", "", 13_500.0, 5_000.0, 11_500.0, meters_connection=True)
    wrong = {"grid_w": 500.0, "load_w": 500.0, "solar_w": 0.0}
    assert Home((FIRST, marked), told("a", **wrong), told("b", **METER)).shown()[0] == 3_000.0
    # Where it does not measure, another does.
    assert Home((FIRST, marked), told("a", **wrong), told("b")).shown()[0] == 500.0


def test_several_marked_meters_add_up() -> None:
    units = tuple(
        Device(name, "megapack", "", 4e6, 1.9e6, 1.9e6, meters_connection=True) for name in "ab"
    )
    branch = {"grid_w": 1_000.0, "load_w": 0.0}
    assert Home(units, told("a", **branch), told("b", **branch)).shown()[0] == 2_000.0


def test_panels_that_a_battery_s_gateway_meters_too_count_once() -> None:
    panels = Device("pv", "solar", rated_solar_w=5_000.0)
    meter = {"grid_w": -1_000.0, "load_w": 3_000.0, "solar_w": 4_000.0}
    row = told("pv", **meter) | {"battery_w": NAN, "soc": NAN}
    assert Home((FIRST, panels), told("a", **meter), row).shown() == (-1_000.0, 4_000.0, 3_000.0)


def test_inverters_with_panels_of_their_own_add_up() -> None:
    inverters = tuple(Device(name, "solar", rated_solar_w=5_000.0) for name in "ab")
    rows = [{"device_id": name, "solar_w": 2_000.0} for name in "ab"]
    assert Home(inverters, *rows).shown()[1] == 4_000.0
