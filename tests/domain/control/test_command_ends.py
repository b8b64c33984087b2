"""Every command gets exactly one end, in whichever order things happen and whoever takes over."""

from collections import Counter
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from schemas.commands import (
    FINAL,
    CommandEvent,
    CommandFrame,
    CommandRow,
    CommandState,
    command_id,
    rank_of,
)
from schemas.presence import Presence
from tests.support.pool_world import POLICY, T0, OnePartition, home
from vpp_streams.domain.control.command_ends import PUBLISH_AGAIN_MS
from vpp_streams.domain.control.command_rows import CommandRows
from vpp_streams.domain.control.lease import CAUSE, NAMES
from vpp_streams.serving.story import story_of

SITES = [home(0), home(1)]
DEVICES = [site.devices[0].device_id for site in SITES]
OVER_MS = POLICY.lease_ms + 2 * POLICY.again_ms

Name = tuple[str, str]
"""Device and command."""
REASONS = {"failed": ("no answer", "not connected", "disconnected", "setpoint not reached")}
STATES = (
    "delivered", "accepted", "applied", "rejected", "completed", "superseded", "expired", "failed",
    "opted_out",
)  # fmt: skip


class Connected(NamedTuple):
    presence: Presence
    offset: int


def a_frame(rank: int, at_ms: int, rows: list[CommandRow]) -> CommandFrame:
    return CommandFrame(
        partition=0,
        rank=rank,
        slot=0,
        region="north",
        request_id="r1",
        created_at_ms=at_ms,
        asked_at_ms=at_ms,
        not_before_ms=at_ms,
        valid_until_ms=at_ms + POLICY.lease_ms,
        rows=tuple(rows),
    )


class Commanding(RuleBasedStateMachine):
    """Workers that come and go over one log, with devices and gateways that say anything."""

    def __init__(self) -> None:
        super().__init__()
        self.world = OnePartition(SITES)
        self.world.measure()
        self.now_ms = T0
        self.presence: list[Connected] = []
        self.frames: list[CommandFrame] = []
        self.events: list[CommandEvent] = []
        self.offset = 10
        self.epochs: dict[int, int] = {}
        self.new_worker()
        for at in range(len(DEVICES)):
            self.connect(at)

    def new_worker(self) -> None:
        self.rows = CommandRows(0, self.world.fleet.twins, POLICY)
        self.rows.grow()
        self.read = 0
        self.said: Counter[Name] = Counter()
        self.said_ms: dict[Name, int] = {}

    # What the worker does

    @rule(
        who=st.sets(st.integers(0, 1), min_size=1),
        watts=st.sampled_from([1000.0, -500.0, None]),
        audited=st.booleans(),
    )
    def order(self, who: set[int], watts: float | None, audited: bool) -> None:
        rows = np.array(sorted(who), np.int64)
        epochs = self.rows["epoch"][rows]
        rank = self.rows.next_rank(self.now_ms)
        made = [
            CommandRow(DEVICES[at], int(epoch), watts, 5000.0, 0.2)
            for at, epoch in zip(rows.tolist(), epochs.tolist(), strict=True)
        ]
        frame = a_frame(rank, self.now_ms, made)
        setpoint = np.full(len(rows), np.nan if watts is None else watts)
        self.rows.note(frame, rows, setpoint, epochs)
        self.frames.append(frame)
        if audited:
            self.rows.apply_frame(frame)  # as it comes back from Kafka

    @rule()
    def cycle(self) -> None:
        self.publish(self.rows.expire(self.now_ms))

    def publish(self, events: list[CommandEvent]) -> None:
        ended = {(e.device_id, e.command_id) for e in self.events[: self.read] if e.state in FINAL}
        for event in events:
            name = event.device_id, event.command_id
            assert event.state in FINAL
            assert name not in ended, "its end is known"
            again = self.now_ms - self.said_ms.get(name, -PUBLISH_AGAIN_MS)
            assert again >= PUBLISH_AGAIN_MS, "it was told just now"
            self.said_ms[name] = self.now_ms
        self.events += events

    @rule(most=st.integers(1, 8))
    def read_events(self, most: int) -> None:
        for event in self.events[self.read : self.read + most]:
            self.rows.apply_event(event)
            self.read += 1

    @rule(lost=st.booleans(), late=st.booleans(), data=st.data())
    def take_over(self, lost: bool, late: bool, data: st.DataObject) -> None:
        """The worker ends in the middle of its cycle; another reads the log."""
        dying = self.rows.expire(self.now_ms)
        before = len(self.events)
        if not lost:
            self.events += dying
        self.new_worker()
        topics: list[list[Any]] = [list(self.presence), list(self.frames)]
        while any(topics):
            topic = data.draw(st.sampled_from([t for t in topics if t]))
            record = topic.pop(0)
            if isinstance(record, Connected):
                self.rows.presence(*record)
            else:
                self.rows.apply_frame(record)
        # What its predecessor published at the very end may come after what it reads at first.
        first = before if late else len(self.events)
        for event in self.events[:first]:
            self.rows.apply_event(event)
        self.read = first

    # What goes on around it

    @rule(passes_ms=st.sampled_from([1, 500, 6_000, 20_000, 36_001, 61_000]))
    def wait(self, passes_ms: int) -> None:
        self.now_ms += passes_ms

    @rule(at=st.integers(0, 1))
    def connect(self, at: int) -> None:
        self.offset += 1
        self.epochs[at] = self.offset
        record = Presence(DEVICES[at], SITES[at].site_id, "connected", 0, self.now_ms)
        self.note_presence(record)

    @precondition(lambda self: self.epochs)
    @rule(data=st.data())
    def disconnect(self, data: st.DataObject) -> None:
        at = data.draw(st.sampled_from(sorted(self.epochs)))
        epoch = self.epochs.pop(at)
        self.offset += 1
        site_id = SITES[at].site_id
        self.note_presence(
            Presence(DEVICES[at], site_id, "disconnected", 0, self.now_ms, epoch=epoch)
        )

    def note_presence(self, record: Presence) -> None:
        self.presence.append(Connected(record, self.offset))
        self.rows.presence(record, self.offset)

    @precondition(lambda self: self.frames)
    @rule(data=st.data(), state=st.sampled_from(STATES), times=st.integers(1, 2))
    def device_or_gateway_says(self, data: st.DataObject, state: CommandState, times: int) -> None:
        frame = data.draw(st.sampled_from(self.frames[-4:]))
        row = data.draw(st.sampled_from(frame.rows))
        newer = self.epochs.get(DEVICES.index(row.device_id), row.epoch)
        self.events += times * [
            CommandEvent(
                device_id=row.device_id,
                command_id=command_id(0, frame.rank),
                state=state,
                at_ms=self.now_ms,
                epoch=data.draw(st.sampled_from([row.epoch, newer])),
                reason=data.draw(st.sampled_from(REASONS.get(state, ("",)))),
            )
        ]

    # What must hold

    def first_ends(self) -> dict[Name, str]:
        ends: dict[Name, str] = {}
        for event in self.events[: self.read]:
            if event.state in FINAL:
                ends.setdefault((event.device_id, event.command_id), event.state)
        return ends

    @invariant()
    def the_newest_command_stands_as_the_log_has_it(self) -> None:
        ends = self.first_ends()
        for at, device in enumerate(DEVICES):
            name = device, command_id(0, int(self.rows["rank"][at]))
            if name in ends:
                assert NAMES[self.rows["state"][at]] == ends[name]

    def teardown(self) -> None:
        """Time goes on, and the worker's cycles with it."""
        for _ in range(4):
            self.now_ms += OVER_MS
            self.read_events(len(self.events))
            self.cycle()
        self.read_events(len(self.events))
        assert self.rows.expire(self.now_ms) == []
        asked = {(r.device_id, command_id(0, f.rank)) for f in self.frames for r in f.rows}
        ends = self.first_ends()
        assert ends.keys() == asked, "a command without an end"
        for device in DEVICES:
            lines = story_of(device, self.frames, self.events, self.now_ms)
            told = [(line.command_id, line.state) for line in lines if line.state in FINAL]
            assert sorted(told) == sorted(
                (id_, state) for (its, id_), state in ends.items() if its == device
            )


TestCommanding = Commanding.TestCase
TestCommanding.settings = settings(
    max_examples=200,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


# The instances that were found


@pytest.fixture
def world() -> OnePartition:
    made = OnePartition(SITES)
    made.measure()
    made.connect()
    made.rows.grow()
    return made


def order(world: OnePartition, rank: int = 5) -> CommandFrame:
    frame = a_frame(rank, world.now_ms, [CommandRow(DEVICES[0], 7, 1000.0, 5000.0, 0.2)])
    world.rows.apply_frame(frame)
    return frame


def test_a_command_that_a_reconnect_cut_off_is_ended(world: OnePartition) -> None:
    """K12: it had no outcome."""
    order(world)
    world.connect(SITES[0].site_id, epoch=20)
    assert NAMES[world.rows["state"][0]] == "failed", "it can be asked anew at once"
    assert not world.rows.pending(world.now_ms)[0]
    (event,) = world.rows.expire(world.now_ms + POLICY.again_ms)
    assert (event.state, event.command_id) == ("failed", "c0-5")
    assert event.reason == "its connection ended before the device answered"
    assert world.rows["barred_until_ms"][0] == 0, "the new connection has done nothing wrong"


def test_a_command_that_was_taken_before_the_reconnect_goes_on(world: OnePartition) -> None:
    order(world)
    world.connect(SITES[0].site_id, epoch=20)
    world.tell(DEVICES[0], 5, "applied", epoch=20)
    assert world.rows.expire(world.now_ms + POLICY.again_ms) == []
    assert world.rows.acting(world.now_ms)[0]


def test_every_command_that_was_overtaken_before_an_answer_is_ended(world: OnePartition) -> None:
    for rank in (5, 6, 7):
        order(world, rank)
    world.tell(DEVICES[0], 7, "accepted")
    events = world.rows.expire(world.now_ms + POLICY.again_ms)
    assert [(rank_of(e.command_id, 0), e.state) for e in events] == [(5, "failed"), (6, "failed")]
    assert NAMES[world.rows["state"][0]] == "accepted"
    assert world.rows["barred_until_ms"][0] == 0


def test_a_lease_that_was_replaced_in_silence_is_superseded(world: OnePartition) -> None:
    order(world, 5)
    world.tell(DEVICES[0], 5, "accepted")
    world.now_ms += 15_000
    order(world, 6)
    world.tell(DEVICES[0], 6, "accepted")
    (event,) = world.rows.expire(world.now_ms - 15_000 + POLICY.lease_ms + POLICY.again_ms + 1)
    assert (event.command_id, event.state) == ("c0-5", "superseded")


def test_an_end_that_the_log_did_not_take_is_told_again(world: OnePartition) -> None:
    order(world)
    world.now_ms += POLICY.again_ms
    assert len(world.rows.expire(world.now_ms)) == 1
    assert world.rows.expire(world.now_ms + PUBLISH_AGAIN_MS - 1) == []
    (event,) = world.rows.expire(world.now_ms + PUBLISH_AGAIN_MS)
    world.rows.apply_event(event)
    assert world.rows.expire(world.now_ms + 10 * PUBLISH_AGAIN_MS) == []


def test_a_lease_that_was_given_up_still_acts_where_the_device_took_it(world: OnePartition) -> None:
    order(world)
    world.now_ms += POLICY.again_ms
    (event,) = world.rows.expire(world.now_ms)
    world.rows.apply_event(event)
    world.tell(DEVICES[0], 5, "accepted")
    assert NAMES[world.rows["state"][0]] == "failed"
    assert world.rows.acting(world.now_ms)[0], "its power is counted with until the lease ends"
    assert np.isnan(world.rows.held_w(world.now_ms)[0]), "and it is asked anew"


def test_a_device_whose_row_comes_later_has_its_command_ended() -> None:
    world = OnePartition(SITES)
    order(world)
    (event,) = world.rows.expire(world.now_ms + POLICY.again_ms)
    assert (event.device_id, event.state) == (DEVICES[0], "failed")
    world.measure()
    world.rows.grow()
    world.rows.apply_event(event)
    assert world.rows.expire(world.now_ms + 10 * PUBLISH_AGAIN_MS) == []


def test_a_gateway_that_did_not_know_the_device_yet_bars_it_for_a_while(
    world: OnePartition,
) -> None:
    """Its connect record may be read before the gateway has the broker's answer to it."""
    order(world)
    world.tell(DEVICES[0], 5, "failed", "not connected")
    assert not world.look().able[0]
    assert world.look().cause[0] == CAUSE["offline"]
    world.measure(POLICY.trouble_ms)
    assert world.look().able[0], "nothing else would ever say that it is there"
    world.rows["barred_until_ms"][0] = world.now_ms + 10_000
    world.connect(SITES[0].site_id, epoch=30)
    assert world.look().able[0]
