"""Floods: what one connection may cost, whatever its frames are, in both engines."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.gateway_connection import (
    Clock,
    OwnGateway,
    StockGateway,
    Transport,
    connected_gateway,
)
from tests.support.websocket_frames import UPGRADE, chunks, frame
from vpp_streams.gateway import connection as own_engine
from vpp_streams.gateway import stock_engine
from vpp_streams.gateway.budget import (
    EXTRA_COST,
    FRAMES_BURST,
    FRAMES_PER_S,
    MAX_FRAGMENTS,
    TOO_MANY_FRAGMENTS,
    TOO_MANY_FRAMES,
    FrameBudget,
    FrameMeter,
)
from vpp_streams.gateway.seam import MAX_UNSENT_BYTES

READ_BYTES = 256 * 1024
"""The most that an event loop hands over at once."""
CLOSE_1008 = b"\x88" + bytes((2 + len(TOO_MANY_FRAMES),)) + b"\x03\xf0" + TOO_MANY_FRAMES.encode()
KINDS = {
    "empty pings": frame(9, b""),
    "long pings": frame(9, b"p" * 125),
    "empty pongs": frame(10, b""),
    "small messages": frame(1, b"{}"),
    "empty messages": frame(2, b""),
    "messages in two fragments": frame(1, b"[", fin=False) + frame(0, b"]"),
}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    for engine in (own_engine, stock_engine):
        monkeypatch.setattr(engine, "now", made)
    return made


def read_of(kind: bytes, size: int = READ_BYTES) -> bytes:
    """One read full of frames of a kind."""
    return kind * (size // len(kind))


@pytest.mark.parametrize("kind", KINDS)
async def test_a_read_full_of_any_frames_ends_the_connection_and_is_not_worked_off(
    kind: str, clock: Clock
) -> None:
    ours = connected_gateway()
    ours.connection.data_received(read_of(KINDS[kind]))
    assert ours.transport.written.endswith(CLOSE_1008)
    handled = len(ours.messages) + ours.transport.written.count(b"\x8a")
    assert handled <= FRAMES_BURST
    assert ours.transport.paused, "what it goes on sending is not even read"
    before = ours.transport.written
    ours.connection.data_received(read_of(KINDS[kind]))
    ours.connection.eof_received()
    assert ours.transport.written == before
    ours.connection.connection_lost(None)
    assert ours.ends == [1008]


@pytest.mark.parametrize("kind", KINDS)
async def test_the_librarys_engine_holds_the_same_budget(kind: str, clock: Clock) -> None:
    stock = await StockGateway().open()
    stock.connection.data_received(read_of(KINDS[kind]))
    assert stock.floods == [TOO_MANY_FRAMES]
    pongs = stock.transport.written.count(b"\x8a")
    assert pongs <= FRAMES_BURST / EXTRA_COST
    stock.connection.data_received(read_of(KINDS[kind]))
    assert stock.transport.written.count(b"\x8a") == pongs
    assert stock.floods == [TOO_MANY_FRAMES]


async def test_frames_behind_the_request_are_metered_too(clock: Clock) -> None:
    flood = UPGRADE + read_of(KINDS["empty pings"])
    ours = OwnGateway()
    ours.connection.data_received(flood)
    assert ours.transport.written.endswith(CLOSE_1008)
    stock = StockGateway()
    stock.connection.data_received(flood)
    assert stock.transport.aborted
    stock.connection.data_received(flood)


async def test_a_message_has_only_so_many_fragments(clock: Clock) -> None:
    for fragments, closed in ((MAX_FRAGMENTS, False), (MAX_FRAGMENTS + 1, True)):
        ours, stock = connected_gateway(), await StockGateway().open()
        message = frame(1, b"[", fin=False) + frame(0, b"", fin=False) * (fragments - 1)
        for each in (ours, stock):
            each.connection.data_received(message)
        assert stock.floods == [TOO_MANY_FRAGMENTS] * closed
        assert ours.transport.written.endswith(TOO_MANY_FRAGMENTS.encode()) is closed


async def test_what_comes_over_time_is_allowed(clock: Clock) -> None:
    ours, stock = connected_gateway(), await StockGateway().open()
    for _ in range(50):
        clock.ms += 1000
        for each in (ours, stock):
            for _ in range(int(FRAMES_PER_S) - EXTRA_COST):
                each.connection.data_received(frame(1, b"{}"))
            each.connection.data_received(frame(9, b""))
    assert len(ours.messages) == 50 * (FRAMES_PER_S - EXTRA_COST)
    assert ours.transport.written == b"\x8a\x00" * 50
    assert stock.floods == []


async def test_bytes_that_never_make_a_frame_are_metered(clock: Clock) -> None:
    ours, stock = connected_gateway(), await StockGateway().open()
    for byte in frame(1, b"x" * 1000):
        for each in (ours, stock):
            each.connection.data_received(bytes((byte,)))
    assert stock.floods == [TOO_MANY_FRAMES]
    assert ours.transport.written == CLOSE_1008


async def test_a_flood_after_our_close_frame_is_cut(clock: Clock) -> None:
    ours = connected_gateway()
    ours.connection.close(1001, "")
    ours.connection.data_received(frame(9, b"") * 10)
    assert not ours.transport.aborted
    before = ours.transport.written
    ours.connection.data_received(read_of(frame(9, b"")))
    assert ours.transport.aborted
    ours.connection.data_received(read_of(frame(9, b"")))
    assert ours.transport.written == before


@pytest.mark.parametrize(
    "before",
    [
        UPGRADE.replace(b"/v1/d1", b"/v1/d2"),
        UPGRADE + frame(1, b"unmasked", mask=None),
        UPGRADE + frame(8, b"\x03\xe8"),
    ],
)
async def test_nothing_puts_off_the_end_of_a_connection(before: bytes) -> None:
    ours = OwnGateway()
    ours.connection.data_received(before)
    assert ours.transport.ended
    timer = ours.connection._timer  # noqa: SLF001  # it must be the same timer
    assert timer is not None
    for _ in range(5):
        ours.connection.data_received(read_of(frame(10, b"")))
    assert ours.connection._timer is timer  # noqa: SLF001  # it must be the same timer
    assert not timer.cancelled()


async def test_pongs_that_are_not_read_drop_the_connection(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Transport, "get_write_buffer_size", lambda self: len(self.written))
    for each in (connected_gateway(), await StockGateway().open()):
        pings = 0
        while not each.transport.aborted:
            clock.ms += 100
            each.connection.data_received(frame(9, b"p" * 125))
            pings += 1
            assert pings < 1000
        assert len(each.transport.written) <= MAX_UNSENT_BYTES + 127


KIND = st.sampled_from(
    [
        frame(1, b"{}"),
        frame(2, b"x" * 300),
        frame(9, b""),
        frame(10, b"p"),
        frame(1, b"[", fin=False) + frame(0, b"]"),
        frame(1, b"[", fin=False) + frame(0, b"", fin=False) * 30 + frame(9, b"") + frame(0, b"]"),
        frame(1, b"[", fin=False) + frame(0, b"", fin=False) * 70 + frame(0, b"]"),
    ]
)
FEW = settings(max_examples=60, derandomize=True, deadline=None)
RUNS = st.lists(st.tuples(KIND, st.integers(1, 250)), min_size=1, max_size=6)


@FEW
@given(RUNS, st.lists(st.integers(0, 40_000), max_size=20), st.lists(st.integers(0, 3000)))
async def test_both_engines_come_to_the_same_verdict(
    runs: list[tuple[bytes, int]], cuts: list[int], waits: list[int]
) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        clock = Clock()
        for engine in (own_engine, stock_engine):
            monkeypatch.setattr(engine, "now", clock)
        ours, stock = connected_gateway(), await StockGateway().open()
        pauses = itertools.chain(waits, itertools.repeat(0))
        stream = b"".join(kind * count for kind, count in runs)
        for chunk, wait in zip(chunks(stream, cuts), pauses, strict=False):
            clock.ms += wait
            ours.connection.data_received(chunk)
            stock.connection.data_received(chunk)
            closed = b"\x03\xf0too many" in ours.transport.written
            assert bool(stock.floods) is closed
            if closed:
                assert ours.transport.written.endswith(stock.floods[0].encode())
            pongs = ours.transport.written.partition(b"\x88")[0]
            assert pongs == stock.transport.written


@FEW
@given(RUNS, st.lists(st.integers(0, 40_000), max_size=40))
def test_a_meter_allows_whole_frames_up_to_the_budget(
    runs: list[tuple[bytes, int]], cuts: list[int]
) -> None:
    stream = b"".join(kind * count for kind, count in runs)
    meter, allowed = FrameMeter(FrameBudget(0)), 0
    for chunk in chunks(stream, cuts):
        take = meter.allow(chunk, 0)
        allowed += take
        if take < len(chunk):
            break
    frames = 0
    at = 0
    while at < allowed:
        header = 2 + 4 + (2 if stream[at + 1] & 127 == 126 else 0)
        length = stream[at + 1] & 127
        at += header + (int.from_bytes(stream[at + 2 : at + 4], "big") if length == 126 else length)
        frames += at <= allowed
    assert frames <= FRAMES_BURST
    assert (allowed == len(stream)) is (meter.why == "")
