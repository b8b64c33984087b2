"""The gateway on a real Kafka with real WebSocket clients."""

import asyncio

import httpx
import msgspec
import pytest
from websockets.exceptions import InvalidStatus

from schemas import protocol, wire
from schemas.bounds import PARTITIONS
from schemas.protocol import (
    Ack,
    Backfill,
    Call,
    Drain,
    Error,
)
from schemas.telemetry import NativeBody
from schemas.wire import decode
from tests.support.gateway_kafka import (
    BOTH_ENGINES,
    T0,
    all_records,
    connect_device,
    gateway_with,
    home,
    next_message,
    presence_of,
    raw_lines,
    refusal,
    register,
    send_hello,
    send_reading,
    token_of,
    wait_for_ack,
    wait_for_close,
    write_asset,
)
from tests.support.kafka_world import until
from vpp_streams.domain.registry.hashing import partition_of
from vpp_streams.gateway import logins
from vpp_streams.gateway.actions import Limits
from vpp_streams.kafka import topics
from vpp_streams.settings import Settings

pytestmark = pytest.mark.kafka


@BOTH_ENGINES
async def test_strangers_are_refused_before_the_upgrade(settings: Settings, engine: str) -> None:
    async with gateway_with(
        settings, home(1), home(2, removed=True), gateway_engine=engine
    ) as gateway:
        none = await refusal(connect_device(gateway, "pw-1", additional_headers={}))
        assert none == (401, "send `Authorization: Bearer <token>` or a client certificate")
        wrong = {"Authorization": f"Bearer {token_of('pw-2')}"}
        assert (await refusal(connect_device(gateway, "pw-1", additional_headers=wrong)))[0] == 401
        status, reason = await refusal(connect_device(gateway, "pw-9"))
        assert status == 401
        assert "vpp assets import" in reason
        assert (await refusal(connect_device(gateway, "pw-2")))[
            0
        ] == 401  # its site has been removed
        assert (await refusal(connect_device(gateway, "pw-1", origin="http://evil.example")))[
            0
        ] == 403
        assert (await refusal(connect_device(gateway, "pw-1", subprotocols=None)))[0] == 400
        assert (await refusal(connect_device(gateway, "pw-1/../..")))[0] == 404
        assert gateway.health.counters["refused"] == 7
        async with httpx.AsyncClient() as http:
            health = await http.get(f"http://127.0.0.1:{gateway.port}/healthz")
        assert (health.status_code, health.json()["status"]) == (200, "ok")
        assert await all_records(settings, topics.PRESENCE) == []


async def test_live_readings_reach_kafka_before_their_ack(settings: Settings) -> None:
    async with (
        gateway_with(settings, home(1)) as gateway,
        connect_device(gateway, "pw-1") as socket,
    ):
        assert socket.subprotocol == "vpp.v1"
        await send_hello(socket, next_seq=5)
        for seq in range(5, 25):
            await send_reading(socket, seq)
            if seq == 5:
                ack = await wait_for_ack(socket, 5)
                assert (ack.b, ack.from_, ack.upto) == ("b0", 5, 5)
                assert len(await raw_lines(settings, topics.RAW_POWERWALL)) == 1
        assert (await wait_for_ack(socket, 24)).from_ == 5
        lines = await raw_lines(settings, topics.RAW_POWERWALL)
        assert [line.seq for _, line in lines] == list(range(5, 25))
        assert {p for p, _ in lines} == {partition_of("home-1", PARTITIONS)}
        assert {line.device_id for _, line in lines} == {"pw-1"}
        body = msgspec.json.decode(lines[3][1].body, type=NativeBody)
        assert body == NativeBody(t=T0 + 8, p=8.0)
        assert gateway.health.counters["readings_in"] == 20
        assert gateway.framer.in_flight_bytes == 0


async def test_backfill_has_its_own_topic(settings: Settings) -> None:
    async with (
        gateway_with(settings, home(1)) as gateway,
        connect_device(gateway, "pw-1") as socket,
    ):
        await send_hello(socket, next_seq=50)
        rows = Backfill(b="a9", from_=3, cols=["t", "p"], rows=[[T0, 1], None, [T0 + 2, None]])
        await socket.send(wire.encode_send("x", rows), text=True)
        ack = await wait_for_ack(socket, 5)
        assert (ack.b, ack.from_, ack.upto) == ("a9", 3, 5)
        lines = [line for _, line in await raw_lines(settings, topics.RAW_BACKFILL)]
        assert [(line.boot, line.seq) for line in lines] == [("a9", 3), ("a9", 5)]


async def test_presence_tells_who_is_connected_where(settings: Settings) -> None:
    async with gateway_with(settings, home(1)) as gateway:
        async with connect_device(gateway, "pw-1") as socket:
            first = await send_hello(socket)
        async with connect_device(gateway, "pw-1") as older:
            second = await send_hello(older)
            async with connect_device(gateway, "pw-1") as newer:
                third = await send_hello(newer)
                assert await wait_for_close(older) == 4001
                await send_reading(newer, 1)
                await wait_for_ack(newer, 1)
    records = await presence_of(settings, "pw-1")
    connects = [offset for offset, record in records if record.status == "connected"]
    assert connects == [first.epoch, second.epoch, third.epoch]
    ended = {record.epoch for _, record in records if record.status == "disconnected"}
    assert ended == set(connects)
    assert {(r.site_id, r.gateway_slot, r.firmware) for _, r in records} == {("home-1", 2, "24.1")}


@pytest.mark.parametrize("tombstone", [False, True])
async def test_a_device_that_is_removed_is_disconnected(
    settings: Settings, tombstone: bool
) -> None:
    async with (
        gateway_with(settings, home(1), home(2)) as gateway,
        connect_device(gateway, "pw-1") as removed,
        connect_device(gateway, "pw-2") as other,
    ):
        await send_hello(removed)
        await send_hello(other)
        if tombstone:
            await write_asset(settings, "home-1", None)
        else:
            await register(settings, home(1, removed=True))
        assert await wait_for_close(removed) == 4003
        assert (await refusal(connect_device(gateway, "pw-1")))[0] == 401
        await send_reading(other, 1)
        await wait_for_ack(other, 1)


@BOTH_ENGINES
async def test_one_devices_rubbish_costs_nobody_else_anything(
    settings: Settings, engine: str
) -> None:
    async with gateway_with(settings, home(1), home(2), gateway_engine=engine) as gateway:
        async with connect_device(gateway, "pw-1") as good, connect_device(gateway, "pw-2") as bad:
            await send_hello(good)
            await send_hello(bad)
            await bad.send(b"\xff\x00")  # a binary message: it may hold anything
            rejected = await next_message(bad)
            assert isinstance(rejected, Error)
            assert rejected.code == "bad_message"
            await send_reading(bad, 1)  # it may go on
            await wait_for_ack(bad, 1)
            await bad.send('[6,"2","Telemetry",{"b":"b0","s":2,"t":"never"}]')
            await wait_for_ack(bad, 2)  # ingest will reject it, with its bytes
            await bad.send("x" * 17_000)
            assert await wait_for_close(bad) == 1009
            await send_reading(good, 1)
            await wait_for_ack(good, 1)
        lines = [line for _, line in await raw_lines(settings, topics.RAW_POWERWALL)]
        assert sorted((line.device_id, line.seq) for line in lines) == [
            ("pw-1", 1), ("pw-2", 1), ("pw-2", 2),
        ]  # fmt: skip
        assert gateway.health.counters["bad_bodies"] == 1


async def test_a_flood_is_refused_and_then_closed(settings: Settings) -> None:
    limits = Limits(ack_ms=50, live_burst=5, live_per_s=0.001, strikes_burst=3, strikes_per_min=0)
    async with gateway_with(settings, home(1), limits=limits) as gateway:
        async with connect_device(gateway, "pw-1") as socket:
            await send_hello(socket)
            for seq in range(1, 10):
                await send_reading(socket, seq)
            assert await wait_for_close(socket) == 1008
        assert gateway.health.counters["readings_in"] == 5
        assert gateway.health.counters["rate_limited"] == 4


@BOTH_ENGINES
async def test_reading_stops_while_too_much_is_in_flight(settings: Settings, engine: str) -> None:
    async with (
        gateway_with(settings, home(1), flush_ms=5000, gateway_engine=engine) as gateway,
        connect_device(gateway, "pw-1") as socket,
    ):
        await send_hello(socket)
        gateway.framer.max_in_flight_bytes = 1
        for seq in (1, 2, 3):
            await send_reading(socket, seq)

        async def one_is_taken_in() -> bool:
            return gateway.framer.in_flight_bytes > 0

        await until(one_is_taken_in, "the first reading")
        async with httpx.AsyncClient() as http:  # a round trip, in which the others had a chance
            await http.get(f"http://127.0.0.1:{gateway.port}/healthz")
        assert gateway.health.counters["readings_in"] == 1
        assert gateway.health.counters["backpressure"] == 1
        gateway.framer.max_in_flight_bytes = 1000
        assert await gateway.framer.finish(timeout_s=60)
        await wait_for_ack(socket, 1)

        async def all_are_taken_in() -> bool:
            return gateway.health.counters["readings_in"] == 3

        await until(all_are_taken_in, "the readings that had to wait")


@BOTH_ENGINES
async def test_a_stop_drains(settings: Settings, engine: str) -> None:
    async with gateway_with(settings, home(1), gateway_engine=engine) as gateway:
        socket = await connect_device(gateway, "pw-1")
        hello = await send_hello(socket)
        await send_reading(socket, 1)
        await wait_for_ack(socket, 1)
        await send_reading(socket, 2)

        async def listen() -> list[protocol.Message]:
            return [decode(data) async for data in socket]

        listening = asyncio.create_task(listen())
    heard = [m.payload for m in await listening if isinstance(m, Call)]
    assert any(isinstance(payload, Drain) for payload in heard)
    assert socket.close_code == 1001
    ended = [r.epoch for _, r in await presence_of(settings, "pw-1") if r.status == "disconnected"]
    assert ended == [hello.epoch]
    stored = {line.seq for _, line in await raw_lines(settings, topics.RAW_POWERWALL)}
    acked = max(payload.upto for payload in heard if isinstance(payload, Ack)) if 2 in stored else 1
    assert stored == set(range(1, acked + 1))


@BOTH_ENGINES
async def test_a_flood_of_small_frames_ends_its_connection_alone(
    settings: Settings, engine: str
) -> None:
    async with gateway_with(settings, home(1), home(2), gateway_engine=engine) as gateway:
        async with (
            connect_device(gateway, "pw-1") as flooding,
            connect_device(gateway, "pw-2") as other,
        ):
            await send_hello(flooding)
            await send_hello(other)
            flooding.transport.write(b"\x89\x80abcd" * 40_000)
            assert await wait_for_close(flooding) == 1008
            await send_reading(other, 1)
            await wait_for_ack(other, 1)
        assert gateway.health.counters["floods"] == 1


async def test_a_device_that_starts_anew_with_its_old_boot_id_is_told(settings: Settings) -> None:
    async with gateway_with(settings, home(1)) as gateway:
        async with connect_device(gateway, "pw-1") as socket:
            assert not (await send_hello(socket, next_seq=5)).boot_used
            await send_reading(socket, 5)
            await wait_for_ack(socket, 5)

        async def gone() -> bool:
            return gateway.health.counters["disconnects"] == 1

        await until(gone, "the end of the first connection")
        async with connect_device(gateway, "pw-1") as again:
            assert not (await send_hello(again, next_seq=6)).boot_used
            async with connect_device(gateway, "pw-1") as third:
                assert (await send_hello(third, next_seq=1)).boot_used
        assert gateway.health.counters["boots_used_again"] == 1


@BOTH_ENGINES
async def test_text_that_is_not_utf8_is_closed_with_1007(settings: Settings, engine: str) -> None:
    async with (
        gateway_with(settings, home(1), gateway_engine=engine) as gateway,
        connect_device(gateway, "pw-1") as socket,
    ):
        await send_hello(socket)
        await socket.send(b'["\xff"]', text=True)
        assert await wait_for_close(socket) == 1007


async def test_a_device_has_one_connection_before_hello_and_does_not_come_too_often(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logins, "CONNECTS_PER_S", 0.0)  # however slow this machine is
    async with gateway_with(settings, home(1)) as gateway:
        live = await connect_device(gateway, "pw-1")
        await send_hello(live)
        waiting = await connect_device(gateway, "pw-1")
        newer = await connect_device(gateway, "pw-1")
        assert await wait_for_close(waiting) == 1013
        await send_reading(live, 1)
        await wait_for_ack(live, 1)
        await send_hello(newer)
        assert await wait_for_close(live) == 4001
        for _ in range(int(logins.CONNECTS_BURST) - 3):
            await connect_device(gateway, "pw-1")
        with pytest.raises(InvalidStatus) as too_often:
            await connect_device(gateway, "pw-1")
        assert too_often.value.response.status_code == 429
        assert too_often.value.response.headers["Retry-After"] == "1"
