"""Random frames at the gateway's door, with everything behind it but Kafka and the sockets.

Whatever comes in whatever pieces: nothing raises, a connection that is closed says nothing more,
every reading that is taken in is a device's own, and what is kept is bounded.
"""

import asyncio
import json
from collections import Counter
from typing import Any
from unittest import mock

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs
from websockets.exceptions import ConnectionClosed

from schemas import wire
from schemas.assets import Device, Site
from schemas.protocol import MAX_MESSAGE_BYTES, Hello, Setpoint, Telemetry
from schemas.telemetry import RawLine
from tests.support.gateway_connection import Clock, StockGateway, Transport
from tests.support.gateway_session import ndjson_of
from tests.support.websocket_frames import UPGRADE, chunks, fragmented, frame, unsound
from vpp_streams.gateway import connection as own_engine
from vpp_streams.gateway import link as link_module
from vpp_streams.gateway import stock_engine
from vpp_streams.gateway.actions import Limits, Produce
from vpp_streams.gateway.admission import Admitted
from vpp_streams.gateway.connection import Connection
from vpp_streams.gateway.link import Link, Shared
from vpp_streams.gateway.seam import MAX_UNSENT_BYTES, Door, Receiver
from vpp_streams.gateway.session import Session

DEVICE = Device("d1", "powerwall")
ADMITTED = Admitted(DEVICE, Site("s1", "north", (DEVICE,)))
LIMITS = Limits()
SETPOINT = Setpoint(epoch=1, rank=5, p=1.0, not_before=0, valid_until=2**42, ramp_w_s=1.0)


class World:
    """A gateway of one connection: takes readings in and answers for Kafka."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.room = asyncio.Event()
        self.room.set()
        self.listening = True
        self.lines: list[bytes] = []
        self.waiting: list[Any] = []
        self.told = 0
        self.ended = False
        self.counters: Counter[str] = Counter()
        self.door: Door = self
        self.framer = self.outbox = self.presence = self
        self.shared = Shared(
            self, self, self, self.counters,  # type: ignore[arg-type]  # as much as is used of them
            on_hello=lambda _: None, on_live=lambda _: None, on_closed=lambda _: None,
        )  # fmt: skip
        self.link: Link | None = None

    # As the framer, the outbox and the presence log

    def add(self, *args: Any) -> None:
        if isinstance(args[0], Produce):
            self.lines += ndjson_of(args[0]).split(b"\n")
            self.waiting.append(args[1])
        else:
            self.told += 1
            if args[2] is not None:
                self.waiting.append(args[2])

    async def connected(self, _session: Session, _hello: Hello) -> int:
        return 1

    async def disconnected(self, *_: object) -> None: ...

    # As the door and the engine's owner

    def answer(self, *_: object) -> Admitted:
        return ADMITTED

    def opened(self, admitted: Admitted, socket: Any) -> Link:
        session = Session(
            admitted.device,
            admitted.site,
            3,
            LIMITS,
            backfill_delay_ms=(0, 1),
            counters=self.counters,
            now=self.clock(),
        )
        self.link = Link(socket, session, self.shared)
        return self.link

    def connection_opened(self) -> None: ...

    def wait_for_room(self, connection: Connection) -> None: ...

    def connection_closed(self, receiver: Receiver | None, close_code_sent: int | None) -> None:
        self.ended = True

    def answer_for_kafka(self, stored: bool) -> None:
        waiting, self.waiting = self.waiting, []
        for on_answer in waiting:
            on_answer(stored)


numbers = st.one_of(st.integers(0, 40), st.sampled_from([-1, 2**62, 2**63, 2**200, 1.5]))
names = st.sampled_from(["b0", "b1", "", "b0\n", "x" * 70, "c3-1763855000000", "status-1"])
junk = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, st.text(max_size=8), st.floats()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)
readings = st.builds(
    lambda seq, boot, more: [6, str(seq), "Telemetry", {"b": boot, "s": seq, "t": 5} | more],
    numbers, names, st.dictionaries(st.sampled_from(["p", "t", "iv", "vendor", "body"]), junk),
)  # fmt: skip
backfills = st.builds(
    lambda boot, first, rows: [6, "x", "Backfill", {
        "b": boot, "from": first, "cols": ["t", "p"], "rows": rows}],
    names, numbers, st.lists(st.none() | st.lists(junk, min_size=2, max_size=2), max_size=5),
)  # fmt: skip
statuses = st.builds(
    lambda id_, name, state: [2, id_, "CommandStatus", {"id": name, "state": state, "t": 1}],
    names, names, st.sampled_from(["applied", "completed", "expired", "x"]),
)  # fmt: skip
answers = st.builds(lambda type_, id_, payload: [type_, id_, payload], st.just(3), names, junk)
errors = st.builds(lambda id_: [4, id_, "bad_message", "no"], names)
hellos = st.builds(
    lambda boot, seq, untold: [2, "h", "Hello", {"boot": boot, "next_seq": seq, "untold": untold}],
    names, numbers, st.lists(names, max_size=3),
)  # fmt: skip
documents = st.one_of(readings, readings, backfills, statuses, answers, errors, hellos, junk)
messages = documents.map(lambda document: frame(1, json.dumps(document).encode()))
deep = st.sampled_from([b"[" * 8000, b'[6,"1","Telemetry",{"b":"b0","s":1,"body":' + b"[" * 9000])
good = st.integers(0, 9).map(
    lambda seq: frame(1, wire.encode_send(str(seq), Telemetry(b="b0", s=seq, t=5, p=1.0)))
)
floods = st.tuples(
    st.sampled_from([frame(9, b""), frame(10, b""), frame(1, b'[3,"a",1]'), frame(2, b"")]),
    st.integers(2, 400),
).map(lambda kind: kind[0] * kind[1])
pieces = st.lists(
    st.one_of(
        messages, messages, good, good, fragmented, floods, unsound, deep.map(lambda d: frame(1, d))
    ),
    max_size=10,
).map(b"".join)
steps = st.lists(st.sampled_from(["", "", "stored", "lost", "tick", "command", "wait", "unread"]))
HELLO = frame(1, wire.encode_call("h", Hello(boot="b0", next_seq=0)))
FUZZ = settings(max_examples=250, derandomize=True, deadline=None)


class Socket:
    """The seam's socket, of either engine: what is said after its end is a fault."""

    def __init__(self, transport: Transport, close: Any) -> None:
        self.transport = transport
        self.close = close

    def send_text(self, data: bytes) -> None:
        assert len(data) <= MAX_MESSAGE_BYTES

    def abort(self) -> None:
        self.transport.abort()

    def unsent_bytes(self) -> int:
        return 0


def check(world: World, transport: Transport, rest: int) -> None:
    """What holds after every step."""
    assert rest <= MAX_MESSAGE_BYTES + 14, "half a frame is all that is kept of what came"
    assert len(world.lines) <= LIMITS.live_burst + LIMITS.backfill_burst_rows + 400
    for line in world.lines:
        read = msgspec.json.decode(line, type=RawLine)
        assert read.device_id == "d1"


async def play(world: World, feed: Any, transport: Transport, stream: bytes, cuts: list[int],  # noqa: PLR0917  # as it is called
               plan: list[str], rest: Any) -> None:  # fmt: skip
    """Feed the stream in pieces, and let the world do something after each."""
    link = world.link
    assert link is not None
    for step, chunk in enumerate(chunks(stream, cuts)):
        feed(chunk)
        await asyncio.sleep(0)
        match plan[step] if step < len(plan) else "":
            case "stored" | "lost" as fate:
                world.answer_for_kafka(fate == "stored")
            case "tick":
                link.perform(link.session.tick(world.clock()))
            case "command":
                link.perform(link.session.command(f"c3-{step}", SETPOINT, world.clock()))
            case "wait":
                world.clock.ms += 3000
        check(world, transport, rest())


@FUZZ
@given(pieces, st.lists(st.integers(0, 60_000), max_size=10), steps, st.booleans())
async def test_random_frames_at_our_engine(
    stream: bytes, cuts: list[int], plan: list[str], hello: bool
) -> None:
    clock = Clock()
    with (
        mock.patch.object(own_engine, "now", clock),
        mock.patch.object(link_module, "now", clock),
        capture_logs() as logged,
    ):
        world, transport = World(clock), Transport()
        connection = Connection(world)
        connection.connection_made(transport)
        connection.data_received(UPGRADE)
        if hello:
            connection.data_received(HELLO)
            for _ in range(3):
                await asyncio.sleep(0)
        if "unread" in plan:
            full = mock.Mock(return_value=MAX_UNSENT_BYTES + 1)
            with mock.patch.object(transport, "get_write_buffer_size", full):
                connection.data_received(frame(9, b""))
            assert transport.aborted
        await play(
            world, connection.data_received, transport, stream, cuts, plan,
            lambda: len(connection._rest) + sum(map(len, connection._fragments or ())),  # noqa: SLF001  # what is kept must be bounded
        )  # fmt: skip
        connection.eof_received()
        connection.connection_lost(None)
        assert world.ended
        assert world.link is not None
        await world.link.closed(None)
    assert [line for line in logged if line["log_level"] in ("error", "critical")] == []


@FUZZ
@given(pieces, st.lists(st.integers(0, 60_000), max_size=10), steps)
async def test_random_frames_at_the_librarys_engine(
    stream: bytes, cuts: list[int], plan: list[str]
) -> None:
    clock = Clock()
    with (
        mock.patch.object(stock_engine, "now", clock),
        mock.patch.object(link_module, "now", clock),
        capture_logs() as logged,
    ):
        world, stock = World(clock), await StockGateway().open()
        connection, transport = stock.connection, stock.transport
        closed: list[int] = []

        def close(code: int, reason: str) -> None:
            closed.append(code)

        link = world.opened(ADMITTED, Socket(transport, close))
        connection.receiver = link

        async def hand_on() -> None:
            # As `StockEngine._serve_device` does, which ends with the connection.
            while True:
                message = await connection.recv()
                link.receive(message.encode() if isinstance(message, str) else message, clock())

        handing = asyncio.create_task(hand_on())
        connection.data_received(HELLO)
        for _ in range(5):
            await asyncio.sleep(0)
        await play(
            world,
            connection.data_received,
            transport,
            stream=stream,
            cuts=cuts,
            plan=plan,
            rest=lambda: 0,
        )
        assert len(closed) <= 1, "one close, whatever comes"
        handing.cancel()
        (fate,) = await asyncio.gather(handing, return_exceptions=True)
        assert isinstance(fate, (asyncio.CancelledError, ConnectionClosed)), fate
        await link.closed(None)
    assert [line for line in logged if line["log_level"] in ("error", "critical")] == []


@pytest.mark.parametrize("depth", [1000, 8000])
async def test_deep_nesting_is_refused_not_raised(depth: int) -> None:
    clock = Clock()
    with mock.patch.object(own_engine, "now", clock):
        world, transport = World(clock), Transport()
        connection = Connection(world)
        connection.connection_made(transport)
        connection.data_received(UPGRADE)
        connection.data_received(frame(1, b"[" * depth + b"]" * depth))
    assert b"bad_message" in transport.written
    assert not transport.ended
