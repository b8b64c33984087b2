"""Which batteries can be commanded, by cause: each registered one is counted once."""

import pytest

from schemas.commandable import Commandable
from schemas.grid import Alert
from tests.support.pool_world import POLICY, OnePartition, home
from vpp_streams.domain.control.commandable import commandable
from vpp_streams.domain.control.supplies import supplies


def share_of(world: OnePartition, region: str = "north") -> Commandable:
    view = world.look()
    return commandable(world.pool, view, view.ratings.regions.index(region), region)


def causes(share: Commandable) -> dict[str, int]:
    return {hindered.cause: hindered.batteries for hindered in share.hindered}


@pytest.fixture
def world() -> OnePartition:
    made = OnePartition([home(i) for i in range(6)])
    made.connect()
    made.measure()
    return made


def test_all_can_be_commanded(world: OnePartition) -> None:
    share = share_of(world)
    assert (share.batteries, share.commandable, share.hindered) == (6, 6, ())
    assert share.rated_w == share.commandable_w == 30_000.0


def test_what_is_registered_and_was_never_seen_counts() -> None:
    world = OnePartition([home(i) for i in range(4)])
    share = share_of(world)
    assert causes(share) == {"never_seen": 4}
    assert (share.batteries, share.rated_w, share.commandable_w) == (4, 20_000.0, 0.0)
    world.silent = {world.sites[0].site_id}
    world.connect()
    world.measure()
    assert causes(share_of(world)) == {"never_seen": 1}


def test_it_reports_but_nobody_has_its_connection(world: OnePartition) -> None:
    """U-F1: the presence record was passed over; telemetry came all the while."""
    ids = [site.site_id for site in world.sites]
    world.disconnect(ids[0])
    world.silent = {ids[1]}
    world.measure(POLICY.silent_after_ms + 1000)
    world.islanded = {ids[2]}
    world.measure()
    frames = world.order(5_000.0)
    told = {row.device_id: frame.rank for frame in frames for row in frame.rows}
    world.tell(f"{ids[3]}-pw", told[f"{ids[3]}-pw"], "rejected", "refused")
    world.tell(f"{ids[4]}-pw", told[f"{ids[4]}-pw"], "opted_out")
    share = share_of(world)
    assert causes(share) == {
        "not_connected": 1, "silent": 1, "islanded": 1, "refused": 1, "opted_out": 1
    }  # fmt: skip
    assert (share.batteries, share.commandable, share.commandable_w) == (6, 1, 5_000.0)


def test_what_its_gateway_does_not_know_is_not_connected(world: OnePartition) -> None:
    (frame,) = world.order(5_000.0)
    world.tell(frame.rows[0].device_id, frame.rank, "failed", "not connected")
    assert causes(share_of(world)) == {"not_connected": 1}


def test_a_storm_is_a_cause_of_its_own(world: OnePartition) -> None:
    world.alerts = [
        Alert(
            alert_id="a1",
            kind="storm",
            site_ids=(world.sites[0].site_id,),
            prepare_from_ms=world.now_ms,
            starts_at_ms=world.now_ms + 1,
            ends_at_ms=world.now_ms + 3_600_000,
            source="operator:test",
        )
    ]
    assert causes(share_of(world)) == {"storm": 1}


def test_each_region_has_its_own_and_the_supply_carries_it() -> None:
    world = OnePartition([home(0), home(1), home(2, region="south")])
    world.connect(world.sites[0].site_id)
    world.measure()
    told = {s.region: s.commandable for s in supplies(world.pool, world.look(), {})}
    assert told["north"] is not None
    assert told["south"] is not None
    assert (told["north"].commandable, told["north"].batteries) == (1, 2)
    assert (told["south"].commandable, causes(told["south"])) == (0, {"not_connected": 1})


def test_what_takes_no_setpoint_is_neither_offered_nor_commanded(world: OnePartition) -> None:
    only = world.sites[0].site_id
    world.connect(only, epoch=8, measures_only=True)
    world.measure()
    share = share_of(world)
    assert causes(share) == {"measures_only": 1}
    assert (share.commandable, share.commandable_w) == (5, 25_000.0)
    (supply,) = (s for s in supplies(world.pool, world.look(), {}) if s.region == "north")
    assert max(w for each in supply.supplies for w in each.power_w) == 25_000.0
    assert {m.cause: m.devices for m in supply.missing}["measures_only"] == 1
    told = {row.device_id for frame in world.order(30_000.0) for row in frame.rows}
    assert told == {f"{site.site_id}-pw" for site in world.sites[1:]}
    world.connect(only, epoch=9)  # another inverter, which can be commanded
    world.measure()
    assert share_of(world).commandable == 6


def test_it_is_known_before_the_first_reading() -> None:
    world = OnePartition([home(0), home(1)])
    world.connect(world.sites[0].site_id, measures_only=True)
    world.connect(world.sites[1].site_id)
    world.measure()
    assert causes(share_of(world)) == {"measures_only": 1}
    world.disconnect(world.sites[0].site_id)
    assert causes(share_of(world)) == {"not_connected": 1}
