"""Orders to leases: sums, bounds, who is left out and why, and what is not sent again."""

import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.dispatch import Dispatch
from schemas.grid import Alert, Droop
from tests.support.pool_world import POLICY, T0, OnePartition, asked, home
from vpp_streams.domain.control import orders
from vpp_streams.domain.control.command_rows import CommandRows
from vpp_streams.domain.control.supplies import supplies


def ready(n: int = 4, **fields: Any) -> OnePartition:
    world = OnePartition(home(i, **fields) for i in range(n))
    world.connect()
    world.measure()
    return world


def test_the_share_is_given_exactly_and_equally() -> None:
    w = ready()
    setpoints = asked(w.order(8_000.0))
    assert list(setpoints.values()) == pytest.approx([2_000.0] * 4)


def test_more_energy_above_the_reserve_gives_more() -> None:
    w = ready(2)
    w.soc[w.sites[0].site_id] = 0.5
    w.measure()
    first, second = asked(w.order(3_000.0)).values()
    assert (first, second) == (pytest.approx(1_000.0), pytest.approx(2_000.0))


def test_charging_goes_by_the_room_that_is_left() -> None:
    w = ready(2)
    w.soc[w.sites[0].site_id] = 0.4
    w.measure()
    first, second = asked(w.order(-4_000.0)).values()
    assert (first, second) == (pytest.approx(-3_000.0), pytest.approx(-1_000.0))


def test_nothing_is_sent_again_while_the_leases_are_young_and_the_sum_is_right() -> None:
    w = ready()
    w.answer(w.order(8_000.0))
    for _ in range(14):
        w.measure()
        assert w.order(8_010.0) == []
    w.measure(2_000)
    renewed = w.order(8_000.0)
    assert len(asked(renewed)) == 4, "half of the lease is over"
    assert renewed[0].rank > w.frames[0].rank


def test_leases_never_outlive_the_target() -> None:
    w = ready()
    (frame,) = w.order(8_000.0, for_ms=7_000)
    assert frame.valid_until_ms == w.now_ms + 7_000
    w.answer([frame])
    w.measure()
    assert w.order(8_000.0, for_ms=6_000) == [], "a renewal could not make it longer"
    w.measure(7_000)
    assert w.order(8_000.0, for_ms=0) == []


def test_a_refusal_is_made_good_with_the_next_order() -> None:
    w = ready()
    frames = w.order(8_000.0)
    refuser = frames[0].rows[0].device_id
    w.answer(frames)
    w.tell(refuser, frames[0].rank, "rejected", "refused")
    w.power_w[refuser.removesuffix("-pw")] = 0.0
    w.measure(500)
    again = asked(w.order(8_000.0))
    assert refuser not in again
    assert sum(again.values()) == pytest.approx(8_000.0)  # type: ignore[arg-type]  # none is released
    (partial,) = supplies(w.pool, w.look(), {})
    assert partial.states == {"refused": 1, "created": 3}
    assert [(m.cause, m.devices) for m in partial.missing if m.cause == "refused"] == [
        ("refused", 1)
    ]


def test_a_device_that_is_silent_or_gone_or_off_grid_is_not_asked() -> None:
    w = ready(5)
    w.disconnect(w.sites[0].site_id)
    w.islanded.add(w.sites[1].site_id)
    w.silent.add(w.sites[2].site_id)
    w.measure(POLICY.silent_after_ms + 1_000)
    names = {s.site_id + "-pw" for s in w.sites[3:]}
    assert asked(w.order(4_000.0)).keys() == names
    (partial,) = supplies(w.pool, w.look(), {})
    causes = {m.cause: m.devices for m in partial.missing}
    assert causes["offline"] == 2
    assert causes["islanded"] == 1


def test_a_device_that_went_silent_on_its_lease_still_counts_until_it_ends() -> None:
    w = ready()
    w.answer(w.order(8_000.0))
    w.measure()
    gone = w.sites[0].site_id
    w.disconnect(gone)
    w.silent.add(gone)
    w.measure(POLICY.silent_after_ms + 1_000)
    (partial,) = supplies(w.pool, w.look(), {})
    assert partial.supplies[0].uncontrolled_w == pytest.approx(2_000.0)
    assert partial.measured_w == pytest.approx(8_000.0)
    w.measure(POLICY.lease_ms)
    (partial,) = supplies(w.pool, w.look(), {})
    assert partial.supplies[0].uncontrolled_w == 0.0


@pytest.mark.parametrize("clock_ms", [0, -1_380_000])
def test_one_that_does_not_follow_is_taken_at_what_it_does(clock_ms: int) -> None:
    w = ready()
    w.clock_ms = clock_ms
    w.answer(w.order(8_000.0))
    lazy = w.sites[0].site_id
    w.power_w[lazy] = 700.0
    for _ in range(15):  # one whose clock was set back is silent for a moment
        w.measure()
        w.pool.observe(w.look())
        if w.rows.counts["not_following"]:
            break
    assert w.rows.counts["not_following"] == 1
    setpoints = asked(w.order(8_000.0))
    assert setpoints[f"{lazy}-pw"] == pytest.approx(700.0)
    assert sum(setpoints.values()) == pytest.approx(8_000.0)  # type: ignore[arg-type]
    w.measure(POLICY.bound_ms)
    assert w.look().room.most_w[0] == 5_000.0, "it gets another chance"


def test_an_old_order_is_not_carried_out() -> None:
    w = ready()
    assert w.order(8_000.0)
    old = Dispatch(
        region="north", partition=0, request_id="r0", issued_at_ms=w.now_ms - 1, asked_at_ms=T0,
        until_ms=w.now_ms + 60_000, shares=None,
    )  # fmt: skip
    assert w.orders.carry_out(old, w.look()) == []
    w.measure(10_000)
    waited = Dispatch(
        region="north", partition=0, request_id="r1", issued_at_ms=w.now_ms - 5_000,
        asked_at_ms=T0, until_ms=w.now_ms + 60_000, shares=(),
    )  # fmt: skip
    assert w.orders.carry_out(waited, w.look()) == []
    assert w.rows.counts["orders_stale"] == 2


def test_a_release_ends_every_lease_once() -> None:
    w = ready()
    w.answer(w.order(8_000.0))
    w.measure()
    released = w.order(None)
    assert list(asked(released).values()) == [None] * 4
    assert w.order(None) == [], "it is on the way"
    w.answer(released)
    w.measure()
    assert w.order(None) == []
    (partial,) = supplies(w.pool, w.look(), {})
    assert partial.states == {"none": 4}


def test_a_release_that_is_not_answered_is_sent_again() -> None:
    w = ready(1)
    w.answer(w.order(2_000.0))
    w.order(None)
    w.measure(POLICY.again_ms)
    assert len(asked(w.order(None))) == 1


def test_a_device_that_reconnects_is_commanded_over_its_new_connection() -> None:
    w = ready(1)
    w.order(2_000.0)
    w.connect(w.sites[0].site_id, epoch=30, slot=5)
    (frame,) = w.order(2_000.0)
    assert (frame.slot, frame.rows[0].epoch) == (5, 30)


def ordered_by_supply(w: OnePartition, total_w: float) -> tuple[float, float]:
    """The share of a partition that is to give ``total_w``, by what it publishes now."""
    (partial,) = supplies(w.pool, w.look(), w.orders.applied_ms)
    (supply,) = partial.supplies
    return total_w - supply.uncontrolled_w, supply.uncontrolled_w


def test_a_device_that_returns_before_the_order_arrives_keeps_its_power() -> None:
    w = ready()
    w.answer(w.order(8_000.0))
    back = w.sites[0].site_id
    w.disconnect(back)
    w.measure()
    share_w, uncontrolled_w = ordered_by_supply(w, 8_000.0)
    assert (share_w, uncontrolled_w) == (6_000.0, 2_000.0)
    w.connect(back, epoch=9)
    w.measure(200)
    assert asked(w.order(share_w, uncontrolled_w=uncontrolled_w)) == {}
    assert w.rows.held_w(w.now_ms).sum() == pytest.approx(8_000.0)


def test_a_device_that_leaves_before_the_order_arrives_is_not_replaced_while_its_lease_runs() -> (
    None
):
    w = ready()
    w.answer(w.order(8_000.0))
    w.measure()
    share_w, uncontrolled_w = ordered_by_supply(w, 8_000.0)
    assert (share_w, uncontrolled_w) == (8_000.0, 0.0)
    w.disconnect(w.sites[0].site_id)
    w.measure(200)
    assert asked(w.order(share_w, uncontrolled_w=uncontrolled_w)) == {}


def test_many_commands_are_cut_into_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kafka takes a megabyte at most; who follows the frames knows the same as who made them."""
    monkeypatch.setattr(orders, "MAX_ROWS", 2)
    w = ready(5)
    follower = CommandRows(0, w.fleet.twins, POLICY)
    frames = w.order(10_000.0)
    assert [len(frame.rows) for frame in frames] == [2, 2, 1]
    assert len({frame.rank for frame in frames}) == 1
    assert len(asked(frames)) == 5
    assert sum(filter(None, asked(frames).values())) == pytest.approx(10_000.0)
    for frame in frames:
        follower.apply_frame(frame)
    for name in ("rank", "state", "created_ms", "valid_until_ms", "setpoint_w"):
        assert follower[name].tolist() == w.rows[name].tolist(), name


def test_feeders_have_shares_of_their_own() -> None:
    w = OnePartition([home(0, feeder="f1"), home(1, feeder="f2"), home(2)])
    w.connect()
    w.measure()
    setpoints = asked(w.order(0.0, f1=1_000.0, f2=2_500.0))
    assert list(setpoints.values()) == pytest.approx([1_000.0, 2_500.0])
    (partial,) = supplies(w.pool, w.look(), {})
    assert [s.feeder for s in partial.supplies] == ["", "f1", "f2"]
    assert partial.supplies[0].net_load_w == pytest.approx(500.0)


def test_arming_droop_reaches_devices_whose_setpoint_stays() -> None:
    w = ready(2)
    w.answer(w.order(4_000.0))
    w.measure()
    droop = Droop(nominal_hz=60.0)
    (frame,) = w.order(4_000.0, droop=droop)
    assert frame.droop == droop
    assert len(frame.rows) == 2


def test_a_storm_fills_batteries_ahead_of_any_order() -> None:
    w = ready(3)
    storm = w.sites[0].site_id
    alert = Alert(
        alert_id="gale", kind="storm", site_ids=(storm,),
        prepare_from_ms=w.now_ms, starts_at_ms=w.now_ms + 3_600_000,
        ends_at_ms=w.now_ms + 7_200_000,
    )  # fmt: skip
    w.alerts.append(alert)
    setpoints = asked(w.order(9_000.0))
    assert f"{storm}-pw" not in setpoints
    (partial,) = supplies(w.pool, w.look(), {})
    assert [(m.devices, m.up_w) for m in partial.missing if m.cause == "storm"] == [(1, 5_000.0)]
    filling = w.orders.fill_for_storms(w.look(), w.alerts)
    assert asked(filling) == {f"{storm}-pw": -5_000.0}
    assert filling[0].rows[0].soc_min == 1.0
    assert filling[0].request_id == "gale"
    w.answer(filling)
    w.measure()
    assert w.orders.fill_for_storms(w.look(), w.alerts) == []
    w.soc[storm] = 1.0
    w.measure()
    assert list(asked(w.orders.fill_for_storms(w.look(), w.alerts)).values()) == [0.0]
    w.alerts[0] = Alert(
        **{f: getattr(alert, f) for f in alert.__struct_fields__} | {"cancelled": True}
    )
    assert w.look().able[0]


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1))
def test_no_order_ever_breaks_a_bound(seed: int) -> None:
    """Random homes, orders, refusals and silences: what goes out is always allowed."""
    rng = random.Random(seed)
    w = OnePartition(
        home(
            i,
            backup_reserve=rng.choice([0.0, 0.2, 0.5, 1.0]),
            export_limit_w=rng.choice([None, 0.0, 3_000.0]),
            discharge_w=rng.choice([0.0, 3_840.0, 5_000.0, 11_500.0]),
        )
        for i in range(6)
    )
    w.connect()
    limits = {s.site_id: np.inf if s.export_limit_w is None else s.export_limit_w for s in w.sites}
    for _ in range(12):
        for site in w.soc:
            w.soc[site] = min(max(w.soc[site] + rng.uniform(-0.2, 0.2), 0.0), 1.0)
            w.load_w[site] = rng.uniform(0, 4_000)
        w.measure(rng.choice([200, 1_000, 20_000]))
        frames = w.order(rng.choice([None, 0.0, rng.uniform(-40_000, 40_000)]))
        for device, watts in asked(frames).items():
            site = device.removesuffix("-pw")
            device_of = next(s for s in w.sites if s.site_id == site).devices[0]
            reserve = next(s for s in w.sites if s.site_id == site).backup_reserve
            if watts is None:
                continue
            assert -device_of.rated_charge_w <= watts <= device_of.rated_discharge_w + 1e-6
            assert watts <= 0 or w.soc[site] > reserve
            assert watts <= max(limits[site] + w.load_w[site], 0) + 1e-6
        w.answer(frames, rng.choice(["accepted", "accepted", "rejected", "failed"]))
    assert w.rows.counts["breaches"] == 0
