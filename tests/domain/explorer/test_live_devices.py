"""The newest reading of each device counts, and one meter counts once."""

import msgspec

from schemas.assets import Device, Site
from tests.support.explorer_world import NOW_MS, ExplorerWorld, home, working
from tests.support.telemetry_factory import make_batch


def test_an_older_reading_changes_nothing_except_after_a_clock_was_set_back() -> None:
    world = working(1)
    world.read("pw-1-0", NOW_MS - 2000, soc=0.1)
    assert world.of("home-1", "soc") == 0.5
    late = {"device_id": "pw-1-0", "site_id": "-", "seq": 1, "soc": 0.2}
    times = {"measured_at_ms": NOW_MS - 3_600_000, "received_at_ms": NOW_MS + 5000}
    world.live.apply_readings(make_batch([{**late, **times}]))
    assert world.of("home-1", "soc") == 0.2


def test_what_is_not_registered_is_left_out_until_it_is() -> None:
    world = ExplorerWorld(home(1))
    world.connect("pw-2-0")
    world.read("pw-2-0", soc=0.5)
    assert world.find() == ["home-1"]
    world.registry.apply(home(2))
    assert (world.of("home-2", "connected"), world.of("home-2", "received_at_ms")) == (1, 0)


def test_a_meter_counts_once_and_charge_is_weighted_by_energy() -> None:
    small = Device("b", "powerwall", "", 10_000.0, 5_000.0, 5_000.0)
    large = msgspec.structs.replace(small, device_id="a", rated_energy_wh=30_000.0)
    world = ExplorerWorld(Site("home-1", "north", (small, large)))
    world.connect("a", "b")
    for device, soc in (("a", 1.0), ("b", 0.0)):
        world.read(device, soc=soc, battery_w=500.0, grid_w=-700.0)
    assert world.of("home-1", "soc") == 0.75
    assert (world.of("home-1", "battery_w"), world.of("home-1", "grid_w")) == (1000.0, -700.0)
