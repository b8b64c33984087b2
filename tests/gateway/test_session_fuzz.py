"""A session against any device and any Kafka: hypothesis tries to break its rules."""

from collections import Counter
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from schemas import protocol, wire
from schemas.protocol import (
    Ack,
    Backfill,
    Call,
    Hello,
)
from schemas.wire import decode
from tests.support.examples import examples
from tests.support.gateway_session import (
    at,
    lines_of,
    new_session,
    reading,
)
from vpp_streams.gateway.actions import (
    Action,
    BackfillReceipt,
    Close,
    Limits,
    LiveReceipt,
    Produce,
    Receipt,
    Send,
    State,
)
from vpp_streams.kafka import topics


class AnyConnection(RuleBasedStateMachine):
    """A device that sends anything in any order, and a Kafka that stores or loses at will."""

    def __init__(self) -> None:
        super().__init__()
        limits = Limits(
            ack_ms=2000, live_per_s=2, live_burst=5, backfill_rows_per_s=5, backfill_burst_rows=12
        )
        self.session = new_session(limits)
        self.ms = 0
        self.last_seq = 5
        self.in_flight: list[Receipt] = []
        self.stored: set[tuple[str, int]] = set()
        self.forgotten: set[tuple[str, int]] = set()
        self.acked: set[tuple[str, int]] = set()
        self.produced: Counter[tuple[str, int]] = Counter()
        self.answered_hello = False
        self.closed = False

    def check(self, actions: list[Action]) -> None:
        """Every action, in order, against what the world knows."""
        for action in actions:
            assert not self.closed, "an action after Close"
            match action:
                case Close():
                    self.closed = True
                case Produce(topic=topic, partition=partition, receipt=receipt):
                    assert self.answered_hello, "produced before Hello was accepted"
                    assert partition == 3
                    self.in_flight.append(receipt)
                    lines = lines_of(action)
                    assert all(line.device_id == "d1" for line in lines)
                    if topic is not topics.RAW_BACKFILL:
                        self.produced.update((line.boot, line.seq) for line in lines)
                case Send(data):
                    match decode(data):
                        case Call(_, Ack() as ack):
                            self.check_ack(ack)
                        case protocol.Result():
                            self.answered_hello = True

    def check_ack(self, ack: Ack) -> None:
        assert self.answered_hello
        assert ack.from_ <= ack.upto
        covered = {(ack.b, seq) for seq in range(ack.from_, ack.upto + 1)}
        assert covered <= self.stored | self.forgotten, "acked what Kafka does not have"
        self.acked |= covered

    @initialize(greeted=st.sampled_from([True, True, False]))
    def most_connections_begin_well(self, greeted: bool) -> None:
        if greeted:
            self.hello(next_seq=7)
            self.kafka_has_the_connect_record(epoch=1)

    @rule(next_seq=st.integers(5, 10))
    def hello(self, next_seq: int) -> None:
        if self.session.state is State.WAITING_FOR_HELLO:
            self.last_seq = next_seq - 1
        message = wire.encode_call("h", Hello(boot="a", next_seq=next_seq))
        self.check(self.session.receive(message, at(self.ms)))

    @rule(epoch=st.integers(0, 9))
    def kafka_has_the_connect_record(self, epoch: int) -> None:
        self.check(self.session.registered(epoch, at(self.ms)))

    @rule(step=st.sampled_from([1, 1, 1, 2, 0, -1, -4]), boot=st.sampled_from(["a", "a", "b"]))
    def telemetry(self, step: int, boot: str) -> None:
        seq = max(0, self.last_seq + step)
        self.last_seq = max(seq, self.last_seq)
        self.check(self.session.receive(reading(seq, boot), at(self.ms)))

    @rule(
        first=st.integers(0, 30),
        rows=st.lists(st.sampled_from([[1], ["bad"], None]), min_size=1, max_size=6),
    )
    def backfill(self, first: int, rows: list[list[Any] | None]) -> None:
        message = Backfill(b="a", from_=first, cols=["t"], rows=rows)
        self.forgotten |= {("a", first + i) for i, row in enumerate(rows) if row is None}
        self.check(self.session.receive(wire.encode_send("x", message), at(self.ms)))

    @rule(data=st.sampled_from([b"", b"junk", b'[2,"q","What",{}]', b'[4,"q","code","why"]']))
    def anything_else(self, data: bytes) -> None:
        self.check(self.session.receive(data, at(self.ms)))

    @precondition(lambda self: self.in_flight)
    @rule(at_random=st.integers(0, 3), stored=st.sampled_from([True, True, False]))
    def kafka_answers(self, at_random: int, stored: bool) -> None:
        index = at_random % len(self.in_flight)
        receipt = self.in_flight.pop(index)
        if not stored:
            self.check(self.session.lost(receipt))
            return
        match receipt:
            case LiveReceipt(_, seq):
                self.stored.add(("a", seq))
            case BackfillReceipt(_, boot, (first, upto)):
                self.stored |= {(boot, seq) for seq in range(first, upto + 1)}
        self.check(self.session.stored(receipt, at(self.ms)))

    @rule(ms=st.integers(1, 2000), listening=st.booleans())
    def time_passes(self, ms: int, listening: bool) -> None:
        self.ms += ms
        self.check(self.session.tick(at(self.ms), listening))

    @rule()
    def drain(self) -> None:
        self.check(self.session.drain((0, 1), at(self.ms)))

    @invariant()
    def a_live_reading_is_produced_once(self) -> None:
        assert all(count == 1 for count in self.produced.values())

    @invariant()
    def closed_is_closed(self) -> None:
        assert self.closed == (self.session.state is State.CLOSED)

    def teardown(self) -> None:
        """Liveness: what Kafka stored is acked sooner or later, unless the connection ended."""
        self.in_flight.clear()
        if self.session.state not in (State.LIVE, State.DRAINING):
            return
        self.ms += 2000
        self.check(self.session.tick(at(self.ms), listening=False))
        assert self.stored <= self.acked


TestAnyConnection = AnyConnection.TestCase
TestAnyConnection.settings = examples(600, ci=60, stateful_step_count=40)
