"""What a device answers to a command, and what it tells about it until its end."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.leases import Leases
from schemas.commands import FINAL
from schemas.grid import Droop
from schemas.protocol import Setpoint, SetpointResult
from tests.support.examples import examples
from tests.support.plant_world import EPOCH, T0, Homes, setpoint


def offered(
    leases: Leases, id_: str, given: Setpoint, now_ms: int = T0, epoch: int | None = EPOCH
) -> str:
    return leases.offer(0, id_, given, now_ms, epoch).status


@pytest.fixture
def leases() -> Leases:
    return Leases(np.array([True, False]), lambda _row, _prices: None)


def test_a_command_is_taken_once(leases: Leases) -> None:
    assert leases.last_command(0) == ""
    assert offered(leases, "a", setpoint(100, 1)) == "accepted"
    assert leases.last_command(0) == "a"
    assert offered(leases, "a", setpoint(100, 1)) == "duplicate"
    assert offered(leases, "a", setpoint(100, 1), epoch=EPOCH + 1) == "duplicate"


def test_the_newest_rank_wins_whatever_the_order(leases: Leases) -> None:
    assert offered(leases, "b", setpoint(200, 2)) == "accepted"
    assert offered(leases, "a", setpoint(100, 1)) == "superseded"
    assert offered(leases, "c", setpoint(300, 3)) == "accepted"
    assert offered(leases, "b", setpoint(200, 2)) == "superseded"


def test_only_the_newest_connection_may_command(leases: Leases) -> None:
    assert offered(leases, "a", setpoint(100, 1, epoch=EPOCH - 1)) == "stale_epoch"
    assert offered(leases, "a", setpoint(100, 1), epoch=None) == "stale_epoch"
    assert offered(leases, "a", setpoint(100, 1)) == "accepted"


def test_a_command_that_came_too_late_is_expired_and_does_not_outrank(leases: Leases) -> None:
    late = setpoint(100, 5)
    assert offered(leases, "a", late, now_ms=late.valid_until) == "expired"
    assert offered(leases, "b", setpoint(100, 4)) == "accepted"


def test_who_does_not_take_commands_says_why(leases: Leases) -> None:
    assert leases.offer(1, "a", setpoint(100), T0, EPOCH) == SetpointResult(
        "rejected", "no_battery"
    )
    for reason in ("refuses", "opted_out", "islanded"):
        mask = getattr(leases, reason)
        mask[0] = True
        answer = leases.offer(0, "a", setpoint(100), T0, EPOCH)
        assert answer == SetpointResult("rejected", reason.replace("refuses", "refused"))
        mask[0] = False
    assert offered(leases, "a", setpoint(100)) == "accepted", "a rejection is not remembered"


def test_a_lease_is_applied_and_completed() -> None:
    homes = Homes()
    id_ = homes.lease(4000)
    assert homes.reports() == []
    assert homes.step() == 4000
    assert homes.reports() == [(id_, "applied", "")]
    homes.step(times=28)
    assert homes.reports() == []
    homes.step()
    assert homes.reports() == [(id_, "completed", "")]
    assert homes.step() == 1000


def test_the_report_carries_power_and_the_time_of_the_gateways_clock() -> None:
    homes = Homes()
    homes.lease(4000.04)
    homes.step()
    ((row, status),) = homes.leases.take_reports()
    assert (row, status.t, status.p) == (0, T0 + 1000, 4000.0)


def test_a_newer_lease_replaces_and_a_release_ends() -> None:
    homes = Homes()
    first = homes.lease(4000)
    homes.step()
    second = homes.lease(-2000)
    assert homes.step() == -2000
    third = homes.lease(None)
    assert homes.step() == 1000
    assert homes.reports() == [
        (first, "applied", ""),
        (first, "superseded", ""),
        (second, "applied", ""),
        (second, "superseded", ""),
        (third, "completed", ""),
    ]


def test_a_lease_that_begins_later_waits_beside_the_one_that_stands() -> None:
    homes = Homes()
    homes.lease(4000)
    homes.step()
    homes.lease(2000, not_before=homes.now_ms + 3000)
    assert homes.step(times=2) == 4000
    assert homes.step() == 2000


def test_a_release_also_ends_what_waits() -> None:
    homes = Homes()
    waiting = homes.lease(2000, not_before=T0 + 5000)
    homes.lease(None)
    homes.step(times=6)
    assert homes.reports()[0] == (waiting, "superseded", "")
    assert homes.step() == 1000


def test_a_lease_that_can_never_begin_is_expired() -> None:
    homes = Homes()
    id_ = homes.lease(2000, not_before=T0 + 20_000, valid_until=T0 + 10_000)
    homes.step(times=10)
    assert homes.reports() == [(id_, "expired", "")]


def test_as_near_as_the_device_can_get_is_applied() -> None:
    homes = Homes(export_w=500.0)
    id_ = homes.lease(4000)
    assert homes.step() == 1500
    assert homes.reports() == [(id_, "applied", "")]


def test_a_setpoint_that_the_ramp_never_reached_has_failed() -> None:
    homes = Homes()
    id_ = homes.lease(4000, ramp_w_s=10)
    assert homes.step(times=10) == pytest.approx(100)
    homes.step(times=20)
    assert homes.reports() == [(id_, "failed", "setpoint not reached")]


def test_applied_is_told_when_the_ramp_is_near() -> None:
    homes = Homes()
    homes.step()
    id_ = homes.lease(4000, ramp_w_s=500)
    homes.step(times=5)
    assert homes.reports() == []
    homes.step()
    assert homes.reports() == [(id_, "applied", "")]


def test_an_island_ends_its_lease_and_takes_none() -> None:
    homes = Homes()
    id_ = homes.lease(-4000)
    homes.step()
    homes.islanded[:] = True
    assert homes.step() == 1000, "it serves its load at once"
    assert homes.reports()[-1] == (id_, "failed", "islanded")
    answer = homes.leases.offer(0, "c9-9", setpoint(100, 99, homes.now_ms), homes.now_ms, EPOCH)
    assert answer == SetpointResult("rejected", "islanded")


def test_an_owner_who_opts_out_ends_the_lease() -> None:
    homes = Homes()
    id_ = homes.lease(-4000)
    homes.step()
    homes.leases.opted_out[0] = True
    assert homes.step() == 1000
    assert homes.reports()[-1] == (id_, "opted_out", "")


def test_droop_acts_in_the_step_that_sees_it_and_only_while_armed() -> None:
    homes = Homes(rows=2, soc=0.6)
    homes.lease(1000, droop=Droop(nominal_hz=60.0, dead_band_hz=0.0, droop=0.04), ramp_w_s=100)
    homes.lease(1000, row=1)
    homes.step(times=12)
    homes.hz[:] = 59.4  # a quarter of 4 %
    assert homes.step().tolist() == pytest.approx([2250, 1000])
    homes.hz[:] = 60.6
    assert homes.step().tolist() == pytest.approx([-250, 1000])
    homes.hz[:] = 60.0
    assert homes.step().tolist() == pytest.approx([1000, 1000]), "it goes as it came"
    homes.hz[:] = 59.4
    homes.step(times=30)
    assert homes.step().tolist() == pytest.approx([1000, 1000]), "disarmed with its lease"
    assert not homes.plant.counters


def test_a_droop_that_saturates_leaves_the_setpoint_where_it_was() -> None:
    homes = Homes()
    homes.lease(4000, droop=Droop(nominal_hz=60.0), ramp_w_s=100, valid_until=T0 + 200_000)
    homes.step(times=40)
    homes.hz[:] = 58.0
    assert homes.step() == 5000
    homes.hz[:] = 60.0
    assert homes.step() == 4000


@examples(600, ci=50)
@given(st.data())
def test_every_accepted_command_comes_to_exactly_one_end(data: st.DataObject) -> None:
    """Offers in any order, repeated, early or late, while the grid and the owner come and go."""
    homes = Homes()
    accepted: dict[str, Any] = {}
    told: list[Any] = []
    offers = st.tuples(
        st.integers(1, 12),
        st.sampled_from((None, -4000.0, 0.0, 4000.0)),
        st.integers(-3, 8),
        st.integers(-3, 15),
    )
    for _ in range(data.draw(st.integers(1, 40))):
        homes.islanded[:] = data.draw(st.integers(0, 9)) == 0
        homes.leases.opted_out[:] = data.draw(st.integers(0, 9)) == 0
        for rank, p, begins_s, ends_s in data.draw(st.lists(offers, max_size=2)):
            given_ = setpoint(
                p,
                rank,
                not_before=homes.now_ms + 1000 * begins_s,
                valid_until=homes.now_ms + 1000 * ends_s,
                ramp_w_s=data.draw(st.sampled_from((100.0, 1e5))),
            )
            newest = max(accepted.values(), default=0)
            answer = homes.leases.offer(0, f"c{rank}", given_, homes.now_ms, EPOCH).status
            if answer == "accepted":
                assert rank > newest
                accepted[f"c{rank}"] = rank
        homes.step()
        told += homes.reports()
    homes.islanded[:] = False
    homes.step(times=20)
    told += homes.reports()
    ends = [id_ for id_, state, _ in told if state in FINAL]
    assert sorted(ends) == sorted(accepted)
    applied = [i for i, (_, state, _) in enumerate(told) if state == "applied"]
    assert len({told[i][0] for i in applied}) == len(applied), "told once"
    for i in applied:
        assert told[i][0] not in [id_ for id_, state, _ in told[:i] if state in FINAL]
    assert not homes.plant.counters
