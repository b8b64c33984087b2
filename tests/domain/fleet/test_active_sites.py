"""Sites that are not active count for nothing, as if the registry did not have them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.assets import Site, SiteState
from schemas.dispatch import SupplyPartial
from schemas.grid import Alert
from schemas.windows import RegionPartial, RegionWindowPartial, SiteWindow
from tests.support.pool_world import OnePartition, asked, home
from tests.support.telemetry_factory import make_batch
from vpp_streams.domain.control.supplies import supplies
from vpp_streams.domain.fleet.frames import Frame
from vpp_streams.domain.fleet.regions import expected_sites
from vpp_streams.domain.fleet.twins import Batch
from vpp_streams.domain.market.connection import limits_of
from vpp_streams.domain.registry.registry import Registry
from vpp_streams.domain.registry.states import in_state
from vpp_streams.market.optimizer import battery_regions

T0 = 1_800_000_040_000
REGIONS = ("coast", "north")
STATES: tuple[SiteState, ...] = ("planned", "commissioning", "active", "suspended")
STORM = Alert(
    alert_id="a1",
    kind="storm",
    regions=("north",),
    prepare_from_ms=T0 - 3_600_000,
    starts_at_ms=T0,
    ends_at_ms=T0 + 3_600_000,
)
sites_in_states = st.tuples(st.sampled_from(REGIONS), st.sampled_from(STATES), st.booleans())


def world_of(sites: list[Site], reporting: list[Site]) -> tuple[OnePartition, list[object]]:
    """A partition with these sites, and its regions' records while others report as well."""
    world = OnePartition(sites)
    world.sites, world.now_ms = reporting, T0
    world.soc |= {site.site_id: 0.7 for site in reporting}
    world.power_w |= {site.site_id: 1_000.0 for site in reporting}
    world.load_w |= {site.site_id: 600.0 for site in reporting}
    world.connect()
    shares: list[object] = []
    apply = world.fleet.apply

    def noting(frame: Frame) -> object:
        out = apply(frame)
        shares.extend(out.partials)
        return out

    world.fleet.apply = noting  # type: ignore[method-assign,assignment]  # to see its records
    for _ in range(6):
        world.measure(6_000)
    return world, shares


def offered(world: OnePartition) -> list[SupplyPartial]:
    return supplies(world.pool, world.look(), {})


@settings(max_examples=25)
@given(st.lists(sites_in_states, min_size=1, max_size=6))
def test_sums_coverage_and_offers_are_those_of_the_active_sites(
    drawn: list[tuple[str, SiteState, bool]],
) -> None:
    every = [
        in_state(home(n, region, export_limit_w=4_000.0 + n), state, T0)
        for n, (region, state, _) in enumerate(drawn)
    ]
    reporting = [site for site, (_, _, reports) in zip(every, drawn, strict=True) if reports]
    active = [site for site in every if site.state == "active"]
    got, shares = world_of(every, reporting)
    expected, expected_shares = world_of(active, reporting)
    assert shares == expected_shares
    kinds = {type(share) for share in shares}
    assert kinds == ({RegionPartial, RegionWindowPartial} if active and reporting else set())
    assert offered(got) == offered(expected)
    registry, only = Registry(every), Registry(active)
    assert expected_sites(registry) == expected_sites(only)
    assert battery_regions(registry) == battery_regions(only)
    assert registry.columns.feeders_by_region() == only.columns.feeders_by_region()
    for region in REGIONS:
        assert limits_of(registry, region) == limits_of(only, region)


def test_a_site_that_does_not_count_is_shown_in_its_region() -> None:
    site = in_state(home(0), "suspended", T0)
    world = OnePartition([site])
    windows: list[SiteWindow] = []
    for second in range(130):
        row = {
            "device_id": f"{site.site_id}-pw", "site_id": site.site_id, "seq": second,
            "measured_at_ms": T0 + second * 1000, "received_at_ms": T0 + second * 1000 + 50,
            "battery_w": 2_000.0, "soc": 0.8,
        }  # fmt: skip
        out = world.fleet.apply(Frame(second, Batch.of(make_batch([row]))))
        windows += out.windows
        assert out.partials == []
    assert windows
    assert {w.region for w in windows} == {"north"}
    assert windows[0].battery is not None
    assert windows[0].battery.mean_w == pytest.approx(2_000.0)
    assert world.fleet.roster.rows().devices.tolist() == [1], "its own coverage is measured"


def test_suspending_a_site_ends_its_lease_and_its_part_of_orders() -> None:
    sites = [home(0), home(1)]
    world = OnePartition(sites)
    world.connect()
    world.measure()
    world.answer(world.order(4_000.0))
    world.measure()
    assert world.orders.release_excluded(world.look()) == []
    world.registry.apply(in_state(sites[0], "suspended", world.now_ms))
    ends = world.orders.release_excluded(world.look())
    assert asked(ends) == {f"{sites[0].site_id}-pw": None}
    assert [(frame.region, frame.request_id) for frame in ends] == [("north", "")]
    assert world.orders.release_excluded(world.look()) == [], "it is on the way"
    world.answer(ends)
    world.measure()
    assert world.orders.release_excluded(world.look()) == []
    later = asked(world.order(4_000.0))
    assert later == {f"{sites[1].site_id}-pw": pytest.approx(4_000.0)}
    world.registry.apply(in_state(sites[0], "active", world.now_ms))
    world.measure()
    assert world.look().able.tolist() == [True, True]


def test_a_storm_does_not_command_a_site_that_is_not_active() -> None:
    site = in_state(home(0), "commissioning", T0)
    world = OnePartition([site])
    world.now_ms = T0
    world.connect()
    world.measure()
    storm = [STORM]
    view = world.pool.view_at(world.now_ms, storm)
    assert not view.able.any()
    assert np.isfinite(view.latest.battery_w).all(), "its twin is kept"
    assert world.orders.fill_for_storms(view, storm) == []


def test_a_correction_of_a_site_that_does_not_count_is_no_revision_of_its_region() -> None:
    sites = [home(0), in_state(home(1), "suspended", T0)]
    world = OnePartition(sites)

    def frame(number: int, site: Site, at_ms: int, *, live: bool = True) -> Frame:
        row = {
            "device_id": f"{site.site_id}-pw", "site_id": site.site_id, "seq": number,
            "measured_at_ms": at_ms, "received_at_ms": at_ms + 50, "battery_w": 500.0,
        }  # fmt: skip
        return Frame(number, Batch.of(make_batch([row])), live=live)

    for second in range(130):
        world.fleet.apply(frame(second, sites[0], T0 + second * 1000))
    world.fleet.apply(frame(200, sites[1], T0 + 25_000, live=False))
    out = world.fleet.apply(frame(201, sites[0], T0 + 142_000))
    assert [(w.site_id, w.region) for w in out.windows] == [(sites[1].site_id, "north")]
    assert not [p for p in out.partials if isinstance(p, RegionWindowPartial)]
