"""A device and the gateway over a link that breaks and a Kafka that fails: nothing is lost."""

import random
from collections import Counter, deque
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from edge.durable_ring import DurableRing
from edge.ring import MemoryRing, Ring
from edge.session import Device, State, Step
from schemas.assets import Device as Asset
from schemas.assets import Site
from schemas.protocol import CommandStatus, Error, Malformed
from schemas.wire import decode
from tests.support.edge_ring import file_ring
from tests.support.gateway_session import ndjson_of
from tests.support.plant_world import EPOCH, setpoint
from tests.support.simulated_device import BOOT, PATIENCE, battery_lease, reading_body
from vpp_streams.domain.moments import Now
from vpp_streams.gateway.actions import (
    Action,
    Close,
    Limits,
    Produce,
    PublishOutcome,
    Receipt,
    Register,
    Send,
    StatusReceipt,
)
from vpp_streams.gateway.commands import CommandOutcome
from vpp_streams.gateway.session import Session


@hypothesis_settings(max_examples=60, stateful_step_count=60)
class LossyLink(RuleBasedStateMachine):
    """A device and the real gateway session over a link that breaks, and a Kafka that fails.

    At any moment messages may be on their way in both directions; a break loses them all.
    """

    CAPACITY = 40
    MOST_COMMANDS = 12

    def __init__(self) -> None:
        super().__init__()
        self.counters: Counter[str] = Counter()
        self.battery = battery_lease()
        self.device = Device(
            self.new_ring(),
            "m",
            "f",
            rng=random.Random(1),
            counters=self.counters,
            controls=self.battery,
            patience=PATIENCE,
        )
        self.commands = 0
        self.ends: list[CommandStatus] = []
        """Of all commands that the device took and that are over; number 1 is the first."""
        self.told: set[tuple[str, str]] = set()
        """(command, end) as Kafka has it."""
        self.given_up: set[str] = set()
        """Commands that were not answered in time: that is told as their end."""
        self.now_ms = 0
        self.up: deque[bytes] = deque()
        self.down: deque[bytes] = deque()
        self.in_kafka: deque[tuple[Receipt, bytes | CommandOutcome]] = deque()
        self.stored: set[int] = set()
        self.session: Session | None = None

    def new_ring(self) -> Ring:
        return MemoryRing(BOOT, self.CAPACITY)

    def perform(self, step: Step) -> None:
        if self.session is not None:
            self.up += step.send
            if step.close:
                self.link_breaks()

    def act(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Send(data):
                    self.down.append(data)
                case Produce(receipt=receipt):
                    self.in_kafka.append((receipt, ndjson_of(action)))
                case PublishOutcome(told, StatusReceipt() as receipt):
                    self.in_kafka.append((receipt, told))
                case PublishOutcome(CommandOutcome(command_id, "failed")):
                    self.given_up.add(command_id)
                case Register():
                    self.act(self.session.registered(EPOCH, self.now))
                case Close():
                    self.down.append(b"close")
                    return

    @property
    def now(self) -> Now:
        return Now(1_763_856_000_000 + self.now_ms, self.now_ms)

    @precondition(lambda self: self.session is None)
    @rule()
    def link_comes_up(self) -> None:
        asset = Asset("home-1", "powerwall")
        limits = Limits(ack_ms=2000, strikes_burst=1000)
        self.session = Session(
            asset,
            Site("site-1", "north", (asset,)),
            0,
            limits,
            backfill_delay_ms=(0, 1000),
            counters=Counter(),
            now=self.now,
        )
        self.perform(self.device.connected(self.now.utc_ms))

    @precondition(lambda self: self.session is not None)
    @rule()
    def link_breaks(self) -> None:
        self.session = None
        self.up.clear()
        self.down.clear()
        self.in_kafka.clear()
        self.device.disconnected()

    @rule(dt_ms=st.integers(1, 3000))
    def a_reading_is_made(self, dt_ms: int) -> None:
        self.now_ms += dt_ms
        self.perform(self.device.measured(reading_body(self.now_ms), self.now_ms))
        self.perform(self.device.tick(self.now_ms))

    @rule(dt_ms=st.integers(1, 20_000))
    def time_passes(self, dt_ms: int) -> None:
        self.now_ms += dt_ms
        self.perform(self.device.tick(self.now_ms))
        if self.session is not None:
            self.act(self.session.tick(self.now, listening=False))

    @precondition(lambda self: self.up)
    @rule(n=st.integers(1, 20))
    def gateway_hears(self, n: int) -> None:
        for _ in range(min(n, len(self.up))):
            message = self.up.popleft()
            assert not isinstance(decode(message), Malformed)
            self.act(self.session.receive(message, self.now))

    @precondition(lambda self: self.in_kafka)
    @rule(n=st.integers(1, 20), fails=st.booleans())
    def kafka_answers(self, n: int, fails: bool) -> None:
        for _ in range(min(n, len(self.in_kafka))):
            receipt, what = self.in_kafka.popleft()
            if fails:
                self.act(self.session.lost(receipt))
                continue
            if isinstance(what, CommandOutcome):
                self.told.add((what.command_id, what.state))
            else:
                self.stored |= {msgspec.json.decode(line)["seq"] for line in what.split(b"\n")}
            self.act(self.session.stored(receipt, self.now))

    @precondition(lambda self: self.down)
    @rule(n=st.integers(1, 20))
    def device_hears(self, n: int) -> None:
        for _ in range(n):
            if self.session is None or not self.down:
                return
            message = self.down.popleft()
            if message == b"close":
                self.link_breaks()
                return
            match decode(message):
                case Error(id_, "bad_message"):
                    assert self.ends[int(id_.removeprefix("status-")) - 1].id in self.given_up
            self.perform(self.device.received(message, self.now_ms))
            for _, status in self.battery.leases.take_reports():
                self.ends.append(status)
                self.perform(self.device.report(status, self.now_ms))

    @precondition(lambda self: self.session is not None and self.commands < self.MOST_COMMANDS)
    @rule()
    def a_command_is_sent(self) -> None:
        """It supersedes the one before, if the device took that."""
        self.commands += 1
        rank = self.now.utc_ms + self.commands  # the time that it is made at, and rising
        lease = setpoint(100.0 * self.commands, rank, 0, valid_until=self.now.utc_ms + 10**9)
        self.act(self.session.command(f"c0-{rank}", lease, self.now))

    @invariant()
    def the_ring_is_bounded(self) -> None:
        assert len(self.device.ring) <= self.CAPACITY

    @invariant()
    def what_was_let_go_of_is_stored(self) -> None:
        gone = set(range(self.device.ring.next_seq)) - {
            seq for seq in range(self.device.ring.next_seq) if self.device.ring.within(seq, seq)
        }
        assert len(gone - self.stored) <= self.counters["dropped"]
        assert self.counters["acked"] + self.counters["dropped"] == len(gone)

    def missing(self) -> set[tuple[str, str]]:
        """Ends that Kafka should have and has not."""
        due: set[tuple[str, str]] = {
            (end.id, end.state) for end in self.ends if end.id not in self.given_up
        }
        return due - self.told

    def teardown(self) -> None:
        """Given a link that holds, everything that was kept arrives and is answered."""
        if self.session is None:
            self.link_comes_up()
        for _ in range(200):
            while self.session is not None and (self.up or self.in_kafka or self.down):
                if self.up:
                    self.gateway_hears(20)
                elif self.in_kafka:
                    self.kafka_answers(20, fails=False)
                else:
                    self.device_hears(20)
            if self.session is None:
                self.link_comes_up()
                continue
            if not len(self.device.ring) and not self.missing():
                break
            self.time_passes(3000)
        assert len(self.device.ring) == 0
        assert not self.missing()
        assert self.told <= {(end.id, end.state) for end in self.ends}
        assert len(set(range(self.device.ring.next_seq)) - self.stored) <= self.counters["dropped"]
        assert self.device.state in (State.LIVE, State.WAITING_FOR_HELLO)


TestLossyLink = LossyLink.TestCase


class LossyLinkOfAHome(LossyLink):
    """The same with the ring of a home, whose process ends and starts at any moment.

    Without commands: leases and their reports are in memory, so a restart ends them.
    """

    def new_ring(self) -> Ring:
        self.folder = TemporaryDirectory()
        self.ring = self.opened()
        return self.ring

    def opened(self) -> DurableRing:
        path = Path(self.folder.name) / "ring.db"
        return file_ring(path, capacity=self.CAPACITY, boots=BOOT)

    @rule()
    def process_restarts(self) -> None:
        if self.session is not None:
            self.link_breaks()
        self.ring.close()
        self.ring = self.opened()
        self.battery = battery_lease()
        self.device = Device(
            self.ring,
            "m",
            "f",
            rng=random.Random(1),
            counters=self.counters,
            controls=self.battery,
            patience=PATIENCE,
        )

    def a_command_is_sent(self) -> None:
        """No rule here."""

    def teardown(self) -> None:
        super().teardown()
        self.ring.close()
        self.folder.cleanup()


TestLossyLinkOfAHome = LossyLinkOfAHome.TestCase
TestLossyLinkOfAHome.settings = hypothesis_settings(max_examples=8, stateful_step_count=60)
