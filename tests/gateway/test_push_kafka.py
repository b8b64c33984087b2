"""Commands from ``gateway.out`` to devices and back, on a real Kafka with real connections."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import msgspec
import pytest
from aiokafka import AIOKafkaProducer
from websockets.asyncio.client import ClientConnection

from schemas import protocol, wire
from schemas.bounds import PARTITIONS
from schemas.commands import CommandEvent, CommandEvents, CommandFrame, CommandRow, command_id
from schemas.encoding import encode_json
from schemas.grid import PriceSeries
from schemas.protocol import (
    Call,
    CommandStatus,
    Error,
    Prices,
    Result,
    Setpoint,
    SetpointResult,
)
from tests.support.gateway_kafka import connect_device, home, next_message, register, send_hello
from tests.support.kafka_world import read_all, until
from tests.support.waiting import PATIENCE_S
from vpp_streams import clock
from vpp_streams.domain.registry.hashing import partition_of
from vpp_streams.gateway.server import Gateway, running_gateway
from vpp_streams.kafka import topics
from vpp_streams.kafka.clients import KafkaClients
from vpp_streams.settings import Settings

pytestmark = pytest.mark.kafka

SITE = home(1)
DEVICE = SITE.devices[0].device_id
PARTITION = partition_of(SITE.site_id, PARTITIONS)


class Yard:
    """Gateways of one world, and the topics that a fleet worker would write and read."""

    def __init__(
        self, settings: Settings, gateways: list[Gateway], producer: AIOKafkaProducer
    ) -> None:
        self.settings = settings
        self.gateways = gateways
        self._producer = producer
        self._rank = 0

    async def command(  # noqa: PLR0917  # as it is called
        self, epoch: int, slot: int = 0, p: float | None = 1500.0, device_id: str = DEVICE,
        lasts_ms: int = 60_000, again: CommandFrame | None = None,
    ) -> CommandFrame:  # fmt: skip
        """Write a command to a gateway's slot."""
        self._rank += 1
        now_ms = clock.now_ms()
        frame = again or CommandFrame(
            partition=PARTITION,
            rank=self._rank,
            slot=slot,
            region="north",
            request_id="r1",
            created_at_ms=now_ms,
            asked_at_ms=now_ms,
            not_before_ms=now_ms,
            valid_until_ms=now_ms + lasts_ms,
            rows=(CommandRow(device_id, epoch, p, 5000.0, 0.2),),
        )
        await self._producer.send_and_wait(
            topics.GATEWAY_OUT.full(self.settings.namespace), encode_json(frame), partition=slot
        )
        return frame

    async def prices(self, *per_mwh: float) -> None:
        series = PriceSeries(region="north", from_ms=1, interval_ms=60_000, per_mwh=per_mwh)
        await self._producer.send_and_wait(
            topics.MARKET_PRICES.full(self.settings.namespace),
            encode_json(series),
            key=b"north",
            partition=0,
        )

    async def events(self) -> list[CommandEvent]:
        records = await read_all(self.settings, topics.COMMAND_EVENTS.full(self.settings.namespace))
        assert {r.partition for r in records} <= {PARTITION}
        frames = [msgspec.json.decode(r.value, type=CommandEvents) for r in records]
        return [event for frame in frames for event in frame.events]

    async def becomes(self, frame: CommandFrame, *states: str) -> list[CommandEvent]:
        """Wait until these are the states of a command, in this order."""
        id_ = command_id(frame.partition, frame.rank)
        found: list[CommandEvent] = []

        async def there() -> bool:
            found[:] = [e for e in await self.events() if e.command_id == id_]
            return len(found) >= len(states)

        await until(there, f"{id_} to be {states}")
        assert [e.state for e in found] == list(states)
        return found


@asynccontextmanager
async def yard(settings: Settings, slots: int = 1) -> AsyncIterator[Yard]:
    settings = settings.model_copy(update={"gateway_port": 0, "flush_ms": 20})
    await register(settings, SITE)
    producer = KafkaClients(settings).producer()
    async with AsyncExitStack() as stack:
        await producer.start()
        stack.push_async_callback(producer.stop)
        gateways = [
            await stack.enter_async_context(running_gateway(settings, slot))
            for slot in range(slots)
        ]
        made = Yard(settings, gateways, producer)
        for slot in range(slots):
            # A gateway reads from the end on: it is there once it answers for nobody.
            await made.becomes(await _first_answered(made, slot), "failed")
        yield made


async def _first_answered(made: Yard, slot: int) -> CommandFrame:
    while True:
        frame = await made.command(1, slot, device_id="nobody")
        id_ = command_id(frame.partition, frame.rank)
        for _ in range(10):
            if any(e.command_id == id_ for e in await made.events()):
                return frame


async def setpoint(socket: ClientConnection) -> tuple[str, Setpoint]:
    """The next command that comes."""
    while True:
        message = await next_message(socket)
        if isinstance(message, Call) and isinstance(message.payload, Setpoint):
            return message.id, message.payload


async def accept(socket: ClientConnection, id_: str) -> None:
    await socket.send(wire.encode_result(id_, SetpointResult("accepted")), text=True)


async def tell(socket: ClientConnection, id_: str, state: str) -> protocol.Message:
    status = CommandStatus(id_, state, 1, 1490.0)  # type: ignore[arg-type]  # the tests name states
    await socket.send(wire.encode_call("s1", status), text=True)
    while True:
        message = await next_message(socket)
        if isinstance(message, Result | Error) and message.id == "s1":
            return message


async def test_a_command_reaches_its_device_and_its_story_is_told(settings: Settings) -> None:
    async with yard(settings) as made, connect_device(made.gateways[0], DEVICE) as socket:
        epoch = (await send_hello(socket)).epoch
        frame = await made.command(epoch)
        id_, asked = await setpoint(socket)
        assert id_ == command_id(PARTITION, frame.rank)
        assert (asked.p, asked.epoch, asked.rank, asked.valid_until, asked.soc_min) == (
            1500.0, epoch, frame.rank, frame.valid_until_ms, 0.2,
        )  # fmt: skip
        await accept(socket, id_)
        assert isinstance(await tell(socket, id_, "applied"), Result)
        assert isinstance(await tell(socket, id_, "completed"), Result)
        events = await made.becomes(frame, "delivered", "accepted", "applied", "completed")
        assert {e.epoch for e in events} == {epoch}
        assert events[2].power_w == 1490.0


async def test_what_cannot_be_delivered_is_told_with_its_reason(settings: Settings) -> None:
    async with yard(settings) as made:
        absent = await made.command(3)
        assert (await made.becomes(absent, "failed"))[0].reason == "not connected"
        async with connect_device(made.gateways[0], DEVICE) as socket:
            epoch = (await send_hello(socket)).epoch
            older = await made.command(epoch + 1)
            late = await made.command(epoch, lasts_ms=-1)
            assert (await made.becomes(older, "failed"))[0].reason == "stale epoch"
            await made.becomes(late, "expired")
            good = await made.command(epoch)
            id_, _ = await setpoint(socket)
            assert id_ == command_id(PARTITION, good.rank), "the others never went out"
            lost = await made.command(epoch)
            await setpoint(socket)
        assert (await made.becomes(lost, "delivered", "failed"))[1].reason == "disconnected"


async def test_forged_and_replayed_statuses_move_nothing(settings: Settings) -> None:
    async with yard(settings) as made, connect_device(made.gateways[0], DEVICE) as socket:
        epoch = (await send_hello(socket)).epoch
        frame = await made.command(epoch)
        id_, _ = await setpoint(socket)
        await accept(socket, id_)
        forged = await tell(socket, "c0-999", "completed")
        assert isinstance(forged, Error)
        assert forged.code == "unknown_command"
        await tell(socket, id_, "completed")
        replayed = await tell(socket, id_, "applied")
        assert isinstance(replayed, Error)
        await made.becomes(frame, "delivered", "accepted", "completed")
        assert all(e.command_id != "c0-999" for e in await made.events())


async def test_only_the_newest_connection_may_act(settings: Settings) -> None:
    """A device reconnects to another gateway while its old connection still stands."""
    async with (
        yard(settings, slots=2) as made,
        connect_device(made.gateways[0], DEVICE) as old,
    ):
        old_epoch = (await send_hello(old)).epoch
        before = await made.command(old_epoch)
        id_, _ = await setpoint(old)
        await accept(old, id_)
        async with connect_device(made.gateways[1], DEVICE) as new:
            new_epoch = (await send_hello(new)).epoch
            assert new_epoch > old_epoch
            # For the new connection, by the wrong gateway: not over the old one.
            astray = await made.command(new_epoch, slot=0)
            assert (await made.becomes(astray, "failed"))[0].reason == "stale epoch"
            # For the old one, by the new gateway.
            stale = await made.command(old_epoch, slot=1)
            assert (await made.becomes(stale, "failed"))[0].reason == "stale epoch"
            right = await made.command(new_epoch, slot=1)
            id_, asked = await setpoint(new)
            assert asked.epoch == new_epoch
            await accept(new, id_)
            await made.becomes(right, "delivered", "accepted")
            # What the old connection still tells carries its old epoch: the fleet ignores it.
            await tell(old, command_id(PARTITION, before.rank), "applied")
            events = await made.becomes(before, "delivered", "accepted", "applied")
            assert {e.epoch for e in events} == {old_epoch}


async def test_prices_come_on_connecting_and_on_change(settings: Settings) -> None:
    async with yard(settings) as made:
        await made.prices(10.0, 20.0)

        async def known() -> bool:
            return "north" in made.gateways[0].pusher._prices  # noqa: SLF001  # a state that no message shows

        await until(known, "the gateway to know the prices")
        async with connect_device(made.gateways[0], DEVICE) as socket:
            await send_hello(socket)
            first = await next_message(socket)
            await made.prices(30.0)
            second = await next_message(socket)
    assert [m.payload.per_mwh for m in (first, second) if isinstance(m, Call)] == [
        (10.0, 20.0),
        (30.0,),
    ]
    assert isinstance(first, Call)
    assert isinstance(first.payload, Prices)


async def test_a_frame_that_cannot_be_read_stops_nobody(settings: Settings) -> None:
    async with yard(settings) as made, connect_device(made.gateways[0], DEVICE) as socket:
        epoch = (await send_hello(socket)).epoch
        await made._producer.send_and_wait(  # noqa: SLF001  # a state that no message shows
            topics.GATEWAY_OUT.full(made.settings.namespace), b'{"rank":', partition=0
        )
        frame = await made.command(epoch)
        id_, _ = await setpoint(socket)
        assert id_ == command_id(PARTITION, frame.rank)
        await asyncio.wait_for(accept(socket, id_), PATIENCE_S)
        await made.becomes(frame, "delivered", "accepted")
        assert made.gateways[0].health.counters["records_rejected"] == 1
