"""A region's cycle: shares that sum to what is asked, notices with causes, releases that heal."""

from collections.abc import Iterable
from typing import Any

import msgspec
import pytest

from schemas.dispatch import Missing, StormCost, Supply, SupplyPartial
from schemas.grid import Droop, PriceSeries
from schemas.windows import Deliverable
from tests.support.control_requests import T0, hold, limit, target
from tests.support.web_records import commandable
from vpp_streams.domain.control.region_dispatch import SUPPLY_VALID_MS, RegionDispatch
from vpp_streams.domain.control.ruling import Ruling

LEASE_MS = 30_000
IDLE = Ruling("idle")
BOTH = {0: 3, 1: 4}


def partial(partition: int, most_w: float = 60_000.0, **fields: object) -> SupplyPartial:
    told = SupplyPartial(
        region="north",
        partition=partition,
        at_ms=T0,
        supplies=(
            Supply(
                prices=(-1.0, 0.0, 1.0),
                power_w=(-most_w, 0.0, most_w),
                uncontrolled_w=0.0,
                net_load_w=5_000.0,
            ),
        ),
        deliverable=(Deliverable(900, most_w, most_w), Deliverable(3600, most_w, most_w)),
        commanded_w=0.0,
        measured_w=0.0,
        states={"none": 4},
    )
    return msgspec.structs.replace(told, **fields)


def supply(told: SupplyPartial, **fields: object) -> SupplyPartial:
    changed = msgspec.structs.replace(told.supplies[0], **fields)
    return msgspec.structs.replace(told, supplies=(changed,))


def region(*partials: SupplyPartial) -> RegionDispatch:
    made = RegionDispatch("north", LEASE_MS)
    for told in partials or (partial(0), partial(1)):
        made.apply_supply(told)
    return made


def ruled(export_w: float = 100_000.0, **fields: Any) -> Ruling:
    return Ruling("target", target(export_w=export_w, **fields))


def shares(orders: Iterable[Any]) -> dict[int, float]:
    return {o.partition: sum(s.share_w for s in o.shares) for o in orders}


def test_shares_follow_the_curves_and_sum_to_what_is_asked() -> None:
    cycle = region(partial(0, 60_000.0), partial(1, 90_000.0)).cycle(ruled(), BOTH, T0)
    assert shares(cycle.orders) == pytest.approx({0: 40_000.0, 1: 60_000.0})
    assert {o.until_ms for o in cycle.orders} == {target().ends_at_ms}
    assert cycle.status is not None
    assert (cycle.status.asked_w, cycle.status.missing_w) == (100_000.0, pytest.approx(0.0))
    assert cycle.notice is None


def test_what_cannot_be_commanded_is_subtracted() -> None:
    beside = supply(partial(0), uncontrolled_w=-4_000.0)
    cycle = region(beside, partial(1)).cycle(ruled(), BOTH, T0)
    assert sum(shares(cycle.orders).values()) == pytest.approx(104_000.0)
    counted = {o.partition: s.uncontrolled_w for o in cycle.orders for s in o.shares}
    assert counted == {0: -4_000.0, 1: 0.0}
    assert cycle.status is not None
    assert cycle.status.allocated_w == pytest.approx(100_000.0)


def test_a_partition_that_is_not_heard_counts_until_its_leases_end() -> None:
    made = region(partial(0), partial(1, measured_w=30_000.0))
    made.apply_supply(partial(0, at_ms=T0 + SUPPLY_VALID_MS + 1))
    cycle = made.cycle(ruled(60_000.0), BOTH, T0 + SUPPLY_VALID_MS + 1)
    assert shares(cycle.orders) == pytest.approx({0: 30_000.0})
    made.apply_supply(partial(0, at_ms=T0 + LEASE_MS + 1))
    cycle = made.cycle(ruled(60_000.0), BOTH, T0 + LEASE_MS + 1)
    assert shares(cycle.orders) == pytest.approx({0: 60_000.0})
    assert cycle.status is not None
    assert (cycle.status.partitions_heard, cycle.status.partitions_expected) == (1, 2)


def test_missing_power_is_told_once_with_its_causes_and_when_it_is_over() -> None:
    causes = (
        Missing(cause="offline", devices=2, up_w=9_000.0, down_w=9_000.0),
        Missing(cause="refused", devices=1, up_w=5_000.0, down_w=0.0),
        Missing(cause="storm", devices=1, up_w=0.0, down_w=5_000.0),
    )
    made = region(partial(0, missing=causes), partial(1, missing=causes[:1]))
    notice = made.cycle(ruled(150_000.0, best_effort=True), BOTH, T0).notice
    assert notice is not None
    assert notice.missing_w == pytest.approx(30_000.0)
    assert notice.from_ms == T0
    assert [(c.cause, c.devices, c.up_w) for c in notice.causes] == [
        ("offline", 4, 18_000.0),
        ("refused", 1, 5_000.0),
        ("rating", 0, pytest.approx(7_000.0)),
    ]
    assert made.cycle(ruled(150_000.0), BOTH, T0 + 500).notice is None
    over = made.cycle(ruled(100_000.0), BOTH, T0 + 1_000).notice
    assert over is not None
    assert over.missing_w == 0.0
    assert made.cycle(ruled(100_000.0), BOTH, T0 + 1_500).notice is None


def test_a_target_that_a_limit_goes_before_is_missed_because_of_it() -> None:
    exports = limit("l1", import_limit_w=None, export_limit_w=30_000.0)
    ruling = Ruling("target", target(export_w=100_000.0), (exports,))
    cycle = region().cycle(ruling, BOTH, T0)
    assert sum(shares(cycle.orders).values()) == pytest.approx(40_000.0), "10 kW of load, 30 out"
    assert cycle.status is not None
    assert (cycle.status.asked_w, cycle.status.missing_w) == (100_000.0, pytest.approx(60_000.0))
    assert cycle.notice is not None
    assert [(c.cause, c.up_w) for c in cycle.notice.causes] == [("limit", pytest.approx(60_000.0))]


def test_what_a_feeder_at_its_limit_keeps_back_is_told() -> None:
    behind = supply(partial(0), feeder="f1", uncontrolled_w=2_000.0)
    exports = limit("l1", feeder="f1", import_limit_w=None, export_limit_w=15_000.0)
    ruling = Ruling("target", target(export_w=100_000.0), (exports,))
    cycle = region(behind, partial(1)).cycle(ruling, BOTH, T0)
    assert shares(cycle.orders) == pytest.approx({0: 18_000.0, 1: 60_000.0})
    assert cycle.notice is not None
    assert cycle.notice.missing_w == pytest.approx(20_000.0)
    assert [(c.cause, c.up_w) for c in cycle.notice.causes] == [("feeder", pytest.approx(42_000.0))]


def test_the_limits_that_cost_power_are_named() -> None:
    exports = limit("l1", import_limit_w=None, export_limit_w=30_000.0)
    wide = limit("l2", feeder="f1", import_limit_w=None, export_limit_w=1e6)
    for export_w, by in ((100_000.0, ("l1",)), (10_000.0, ())):
        ruling = Ruling("target", target(export_w=export_w), (exports, wide))
        status = region().cycle(ruling, BOTH, T0).status
        assert status is not None
        assert status.limited_by == by


def test_power_beyond_every_rating_is_missing_for_that_either_way() -> None:
    for export_w in (150_000.0, -150_000.0):
        notice = region().cycle(ruled(export_w, best_effort=True), BOTH, T0).notice
        assert notice is not None
        (cause,) = notice.causes
        assert cause.cause == "rating"
        assert cause.up_w - cause.down_w == pytest.approx(30_000.0 * (1 if export_w > 0 else -1))


def test_energy_that_will_run_out_is_announced_before_it_is_missed() -> None:
    # 60 kW each now, but the energy for only 20 kW each over the hour.
    held = (Deliverable(900, 60_000.0, 0.0), Deliverable(3600, 20_000.0, 0.0))
    made = region(*(partial(p, deliverable=held) for p in (0, 1)))
    hour = ruled(100_000.0, ends_at_ms=T0 + 3_600_000)
    notice = made.cycle(hour, BOTH, T0).notice
    assert notice is not None
    assert notice.missing_w == pytest.approx(60_000.0)
    assert T0 + 900_000 < notice.from_ms < T0 + 1_800_000
    assert [c.cause for c in notice.causes] == ["reserve"]
    assert made.cycle(hour, BOTH, T0 + 500).notice is None


def test_leases_without_a_ruling_are_released_whoever_made_them() -> None:
    made = region(partial(0, states={"accepted": 2, "offline": 2}), partial(1))
    cycle = made.cycle(IDLE, BOTH, T0)
    assert [(o.partition, o.shares) for o in cycle.orders] == [(0, None)]
    made.apply_supply(partial(0, at_ms=T0 + 1))
    assert made.cycle(IDLE, BOTH, T0 + 500).orders == []


def test_a_hold_releases_and_is_told() -> None:
    made = region(partial(0, states={"applied": 4}), partial(1, states={"applied": 4}))
    cycle = made.cycle(Ruling("hold", hold=hold()), BOTH, T0)
    assert [o.shares for o in cycle.orders] == [None, None]
    assert cycle.status is not None
    assert cycle.status.mode == "hold"


def test_idle_regions_are_told_of_now_and_then() -> None:
    made = region()
    told = [made.cycle(IDLE, BOTH, T0 + t).status for t in range(0, 4_001, 500)]
    assert [s is not None for s in told] == [t % 2_000 == 0 for t in range(0, 4_001, 500)]
    assert told[0] is not None
    assert told[0].capability[0].up_w == 120_000.0


def test_a_feeder_keeps_its_limit_and_the_others_make_it_good() -> None:
    fed = supply(partial(0), feeder="f1", uncontrolled_w=2_000.0)
    capped = limit(feeder="f1", import_limit_w=None, export_limit_w=7_000.0)
    ruling = Ruling("target", target(export_w=60_000.0), (capped,))
    cycle = region(fed, partial(1)).cycle(ruling, BOTH, T0)
    # 5 kW of load and 7 kW of export, of which 2 kW are given by devices of nobody's.
    assert shares(cycle.orders) == pytest.approx({0: 10_000.0, 1: 48_000.0})


def test_droop_travels_with_the_orders() -> None:
    droop = Droop(nominal_hz=60.0)
    cycle = region().cycle(ruled(droop=droop), BOTH, T0)
    assert {o.droop for o in cycle.orders} == {droop}


def test_older_supplies_are_ignored() -> None:
    made = region(partial(0), partial(1))
    made.apply_supply(partial(0, at_ms=T0 - 1, states={"accepted": 4}))
    assert made.cycle(IDLE, BOTH, T0).orders == []


def test_a_storms_cost_is_told() -> None:
    storm = (Missing(cause="storm", devices=2, up_w=9_000.0, down_w=0.0),)
    made = region(partial(0, missing=storm, storm_wh=4_000.0), partial(1))
    made.prices = PriceSeries(
        region="north", from_ms=T0, interval_ms=3_600_000, per_mwh=(250.0,), currency="EUR"
    )
    status = made.cycle(IDLE, BOTH, T0).status
    assert status is not None
    assert status.storm == StormCost(
        devices=2, withheld_w=9_000.0, charge_wh=4_000.0, money="1.00", currency="EUR"
    )
    calm = region().cycle(IDLE, BOTH, T0).status
    assert calm is not None
    assert calm.storm is None


def test_power_that_goes_on_missing_is_missing_since_it_began() -> None:
    made = region(partial(0, 40_000.0), partial(1, 40_000.0))
    first = made.cycle(ruled(), BOTH, T0).notice
    assert first is not None
    assert (first.missing_w, first.from_ms) == (20_000.0, T0)
    for p in (0, 1):
        made.apply_supply(partial(p, 20_000.0, at_ms=T0 + 2000))
    more = made.cycle(ruled(), BOTH, T0 + 2000).notice
    assert more is not None
    assert (more.missing_w, more.from_ms, more.at_ms) == (60_000.0, T0, T0 + 2000)
    another = made.cycle(ruled(id_="t2"), BOTH, T0 + 2500).notice
    assert another is not None
    assert another.from_ms == T0 + 2500


def test_the_commandable_share_is_that_of_the_partitions_heard() -> None:
    made = region(
        partial(0, commandable=commandable(3, silent=1)), partial(1, commandable=commandable(5))
    )
    status = made.cycle(ruled(), BOTH, T0).status
    assert status is not None
    assert status.commandable == commandable(8, silent=1)
    made.apply_supply(partial(0, at_ms=T0 + SUPPLY_VALID_MS + 1, commandable=commandable(4)))
    status = made.cycle(ruled(), BOTH, T0 + SUPPLY_VALID_MS + 1).status
    assert status is not None
    assert status.commandable == commandable(4)
    assert (status.partitions_heard, status.partitions_expected) == (1, 2)
    # Of a worker that does not measure it.
    made.apply_supply(partial(1, at_ms=T0 + SUPPLY_VALID_MS + 1))
    status = made.cycle(ruled(), BOTH, T0 + SUPPLY_VALID_MS + 1).status
    assert status is not None
    assert status.commandable is None
