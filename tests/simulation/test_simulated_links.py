"""The simulated links behave as sockets and the WebSocket library do: whoever loses one hears of
it, however the other side came to its end."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from inspect import signature

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedError, InvalidStatus

from schemas.protocol import Hello
from schemas.wire import encode_call
from tests.simulation import links
from tests.simulation.ingestion import gateway
from tests.simulation.links import Connecting, DeviceSide
from tests.simulation.patches import simulated
from tests.simulation.plant import Plant
from tests.simulation.world import Service, World

DEVICE = "ws://simulated/v1/home-0001"
HELLO = encode_call(
    "hello",
    Hello(boot="b1", next_seq=0, oldest_seq=0, model="m", fw="f", last_cmd="", untold=(), t=0),
)
SOMETHING = b'[4,"x","Unknown",{}]'


def with_gateway(main: Callable[[World, Service], Awaitable[None]]) -> None:
    """Run ``main(world, service)`` beside a gateway that knows one home."""

    async def run(world: World) -> None:
        Plant(world, 1)
        service = world.serve("gateway-0", partial(gateway, world, 0))
        await asyncio.sleep(1.0)
        world.supervised = False
        await main(world, service)

    with simulated() as use:
        world = World(1)
        use(world)
        try:
            world.loop.run_until_complete(run(world))
        finally:
            world.loop.dispose()


async def read_to_the_end(socket: DeviceSide) -> None:
    """Returns after a goodbye, raises `ConnectionClosedError` where there was none."""
    async with asyncio.timeout(1.0):
        async for _ in socket:
            pass


@pytest.mark.parametrize("stops_first", [False, True])
def test_a_gateway_that_is_killed_resets_its_connections_even_if_it_was_stopping(
    stops_first: bool,
) -> None:
    async def main(world: World, service: Service) -> None:
        async with Connecting(DEVICE) as socket:
            engine = world.engines[service.process.name]
            if stops_first:
                engine.stop_listening()
            world.kill(service)
            with pytest.raises(ConnectionClosedError):
                await read_to_the_end(socket)

    with_gateway(main)


@pytest.mark.parametrize("end", ["is killed", "stops listening"])
def test_who_waits_to_be_let_in_is_reset_with_the_socket_it_waits_at(end: str) -> None:
    async def main(world: World, service: Service) -> None:
        world.loop.pause(service.process)
        dialling = asyncio.create_task(Connecting(DEVICE).__aenter__())
        await asyncio.sleep(1.0)
        engine = world.engines[service.process.name]
        world.kill(service) if end == "is killed" else engine.stop_listening()
        began = world.loop.time()
        with pytest.raises(ConnectionResetError):
            await dialling
        assert world.loop.time() - began < 1.0
        world.loop.resume(service.process)
        await asyncio.sleep(1.0)
        assert not engine.sides

    with_gateway(main)


@pytest.mark.parametrize("cancelled", [False, True])
def test_a_gateway_that_wakes_up_sees_the_end_of_a_device_that_has_given_up(
    cancelled: bool,
) -> None:
    async def main(world: World, service: Service) -> None:
        world.loop.pause(service.process)
        dialling = asyncio.create_task(Connecting(DEVICE).__aenter__())
        await asyncio.sleep(1.0)
        if cancelled:
            dialling.cancel()
        with pytest.raises(asyncio.CancelledError if cancelled else TimeoutError):
            await dialling
        world.loop.resume(service.process)
        await asyncio.sleep(1.0)
        assert not world.engines[service.process.name].sides

    with_gateway(main)


def test_a_device_that_is_not_registered_is_refused() -> None:
    async def main(_world: World, _service: Service) -> None:
        with pytest.raises(InvalidStatus, match="403"):
            await Connecting("ws://simulated/v1/nobody").__aenter__()

    with_gateway(main)


def test_a_connection_ends_once_the_gateway_has_answered_no_ping_for_too_long() -> None:
    async def main(world: World, service: Service) -> None:
        async with Connecting(DEVICE) as socket:
            world.loop.pause(service.process)
            await asyncio.sleep(links.PING_INTERVAL_S + links.PING_TIMEOUT_S - 1)
            assert not socket.over
            await asyncio.sleep(2)
            with pytest.raises(ConnectionClosedError):
                await read_to_the_end(socket)
            world.loop.resume(service.process)
            await asyncio.sleep(1)
            assert not world.engines[service.process.name].sides

    with_gateway(main)


def test_a_connection_whose_pings_are_answered_stays() -> None:
    async def main(_world: World, _service: Service) -> None:
        async with Connecting(DEVICE) as socket:
            await socket.send(HELLO)
            for _ in range(20):
                await asyncio.sleep(5)
                await socket.send(SOMETHING)  # else the gateway itself would end it
            assert not socket.over

    with_gateway(main)


def test_the_library_waits_as_long_as_the_links_say() -> None:
    defaults = signature(connect.__init__).parameters
    assert defaults["open_timeout"].default == links.OPEN_TIMEOUT_S
    assert defaults["ping_interval"].default == links.PING_INTERVAL_S
    assert defaults["ping_timeout"].default == links.PING_TIMEOUT_S
