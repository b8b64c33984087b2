"""What the cloud knows of each device's command: a fold of presence, frames and events."""

from schemas.commands import CommandEvent, CommandFrame, CommandRow, command_id, rank_of
from schemas.presence import Presence
from tests.support.pool_world import POLICY, T0, OnePartition, home
from vpp_streams.domain.control.command_rows import CommandRows
from vpp_streams.domain.control.lease import NAMES

HOME = home(0)
DEVICE = HOME.devices[0].device_id


def world() -> OnePartition:
    made = OnePartition([HOME, home(1)])
    made.measure()
    made.connect()
    return made


def frame(rank: int, setpoint_w: float | None = 1000.0, at_ms: int = T0) -> CommandFrame:
    return CommandFrame(
        partition=0,
        rank=rank,
        slot=0,
        region="north",
        request_id=f"r{rank}",
        created_at_ms=at_ms,
        asked_at_ms=at_ms,
        not_before_ms=at_ms,
        valid_until_ms=at_ms + POLICY.lease_ms,
        rows=(CommandRow(DEVICE, 7, setpoint_w, 5000.0, 0.2),),
    )


def state(rows: CommandRows, row: int = 0) -> str:
    return NAMES[rows["state"][row]]


def test_a_command_lives_from_created_to_completed() -> None:
    w = world()
    w.rows.apply_frame(frame(5))
    assert state(w.rows) == "created"
    assert w.rows.held_w(T0)[0] == 1000.0
    assert not w.rows.acting(T0)[0], "nobody knows yet whether it was taken"
    for told in ("delivered", "accepted", "applied"):
        w.tell(DEVICE, 5, told)
        assert state(w.rows) == told
    assert w.rows.acting(T0 + POLICY.lease_ms - 1)[0]
    assert not w.rows.acting(T0 + POLICY.lease_ms)[0]
    w.tell(DEVICE, 5, "completed")
    assert not w.rows.acting(w.now_ms)[0]


def test_the_newest_rank_counts_whatever_the_order() -> None:
    w = world()
    w.rows.apply_frame(frame(6, 2000.0))
    w.rows.apply_frame(frame(5, 1000.0))
    w.tell(DEVICE, 5, "rejected", "refused")
    assert state(w.rows) == "created"
    assert w.rows.held_w(T0)[0] == 2000.0
    assert w.rows.next_rank(0) == 7, "ranks rise even if the clock stands or goes back"


def test_a_lease_acts_on_while_its_successor_is_on_the_way() -> None:
    w = world()
    w.rows.apply_frame(frame(5))
    w.tell(DEVICE, 5, "accepted")
    w.rows.apply_frame(frame(6, 2000.0, at_ms=T0 + 1000))
    w.tell(DEVICE, 6, "failed", "not connected")
    assert w.rows.acting(T0 + 2000)[0]


def test_a_released_device_holds_nothing() -> None:
    w = world()
    w.rows.apply_frame(frame(5))
    w.tell(DEVICE, 5, "accepted")
    w.rows.apply_frame(frame(6, None))
    assert w.rows.acting(w.now_ms)[0], "not before it says so"
    w.tell(DEVICE, 6, "accepted")
    assert not w.rows.acting(w.now_ms)[0]


def test_the_word_of_an_older_connection_changes_nothing() -> None:
    w = world()
    w.rows.apply_frame(frame(5))
    w.rows.presence(Presence(DEVICE, HOME.site_id, "connected", 1, T0), 20)
    assert state(w.rows) == "failed", "its answer would come over a connection that is gone"
    w.tell(DEVICE, 5, "accepted", epoch=7)
    assert state(w.rows) == "failed"
    assert w.rows.counts["events_of_old_connections"] == 1
    w.rows.presence(Presence(DEVICE, HOME.site_id, "disconnected", 0, T0, epoch=7), 21)
    assert w.rows["epoch"][0] == 20, "the end of an older connection is not the end of this one"
    assert w.rows["slot"][0] == 1


def test_forged_and_unknown_events_change_nothing() -> None:
    w = world()
    w.rows.apply_frame(frame(5))
    for id_ in ("c1-5", "c0-", "c0-x", "5", ""):
        w.rows.apply_event(
            CommandEvent(device_id=DEVICE, command_id=id_, state="applied", at_ms=T0)
        )
    w.tell("nobody", 5, "applied")
    w.tell(w.sites[1].devices[0].device_id, 5, "applied")
    assert state(w.rows, 0) == "created"
    assert state(w.rows, 1) == "none", "a command that this device was never sent"
    assert not w.rows.acting(T0).any()


def test_a_device_connected_before_its_first_reading_is_known_with_it() -> None:
    w = OnePartition([HOME])
    w.connect(epoch=9, slot=3)
    w.measure()
    w.rows.grow()
    assert (w.rows["epoch"][0], w.rows["slot"][0]) == (9, 3)


def test_the_end_is_told_for_a_device_that_does_not() -> None:
    w = world()
    w.rows.apply_frame(frame(5))
    w.tell(DEVICE, 5, "accepted")
    over_ms = T0 + POLICY.lease_ms + POLICY.again_ms
    assert w.rows.expire(over_ms) == []
    (event,) = w.rows.expire(over_ms + 1)
    assert (event.state, event.command_id) == ("expired", command_id(0, 5))
    assert w.rows.expire(over_ms + 2) == []


def test_a_worker_that_takes_over_knows_what_its_predecessor_did() -> None:
    w = world()
    w.rows.apply_frame(frame(5))
    w.tell(DEVICE, 5, "accepted")
    w.rows.apply_frame(frame(6, 2500.0, at_ms=T0 + 500))
    successor = CommandRows(0, w.fleet.twins, POLICY)
    successor.presence(Presence(DEVICE, HOME.site_id, "connected", 0, T0), 7)
    for known in (frame(5), frame(6, 2500.0, at_ms=T0 + 500)):
        successor.apply_frame(known)
    successor.apply_event(
        CommandEvent(
            device_id=DEVICE, command_id=command_id(0, 5), state="accepted", at_ms=w.now_ms, epoch=7
        )
    )
    for name in ("epoch", "rank", "state", "valid_until_ms", "acting_until_ms"):
        assert successor[name][0] == w.rows[name][0], name
    assert successor.next_rank(0) == 7
    assert successor.request_of(0) == "r6"


def test_ids() -> None:
    assert rank_of(command_id(3, 42), 3) == 42
    assert rank_of(command_id(3, 42), 2) is None
