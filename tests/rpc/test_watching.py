"""Watches: newest wins, places are bounded, nothing is left behind; streams over a real server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest

from tests.support.accounts_world import Entrance
from tests.support.rpc_world import Refused, RpcWorld
from tests.support.waiting import PATIENCE_S, until
from tests.support.web_records import NOW_MS, region_live
from tests.support.web_world import apply, fed_read_model, feed_control
from vpp.dispatch.v1 import dispatch_pb2
from vpp.region.v1 import region_pb2
from vpp_streams.domain.access.rights import grant_of
from vpp_streams.kafka import topics
from vpp_streams.rpc import watching
from vpp_streams.rpc.methods import Call
from vpp_streams.rpc.watching import REPEAT_MS, Source, Watches
from vpp_streams.serving.problems import ApiError

NORTH = region_pb2.WatchRegionRequest(region="north")


class Clock:
    def __init__(self) -> None:
        self.now_ms = NOW_MS

    def __call__(self) -> int:
        return self.now_ms


@asynccontextmanager
async def served(**more: Any) -> AsyncIterator[RpcWorld]:
    model = fed_read_model()
    feed_control(model)
    async with RpcWorld(model, **more).running() as world:
        yield world


class Pure:
    """Watches without a server: a source of numbers, and watchers that take when they are told."""

    def __init__(self, per_token: int = 10) -> None:
        self.entrance, self.clock = Entrance(), Clock()
        self.change = 1
        self.watches = Watches(self.entrance.logins, self.clock, per_token=per_token)
        self.source = Source(
            encode=lambda _: str(self.change).encode(), change_of=lambda _: self.change
        )
        self.took: list[bytes] = []

    def call(self, role: str = "operator") -> Call:
        token = self.entrance.token(role)
        who = self.entrance.logins.holder_now(token)
        assert who is not None
        return Call(who=who, token=token, remaining_s=lambda: None, outcome=[])

    async def watch(self, call: Call, gate: asyncio.Semaphore) -> None:
        async def send(message: bytes) -> None:
            await gate.acquire()
            self.took.append(message)

        await self.watches.watch(self.source, "north", "read_region", call, send)

    def publish(self, change: int) -> None:
        self.change = change
        self.watches.publish()


async def test_a_slow_watcher_gets_the_newest_state_and_no_queue() -> None:
    pure, gate = Pure(), asyncio.Semaphore(1)
    watcher = asyncio.create_task(pure.watch(pure.call(), gate))
    await until(lambda: pure.took == [b"1"])
    for change in range(2, 100):
        pure.publish(change)
        await asyncio.sleep(0)
    gate.release()  # it was sending state 2 all the time
    await until(lambda: len(pure.took) == 2)
    gate.release()
    await until(lambda: len(pure.took) == 3)
    assert pure.took == [b"1", b"2", b"99"]
    watcher.cancel()
    await asyncio.wait({watcher})
    assert (len(pure.watches), pure.watches.channels) == (0, 0)


async def test_what_does_not_change_is_sent_again_after_a_second() -> None:
    pure, gate = Pure(), asyncio.Semaphore(100)
    watcher = asyncio.create_task(pure.watch(pure.call(), gate))
    await until(lambda: len(pure.took) == 1)
    pure.watches.publish()
    pure.clock.now_ms += REPEAT_MS
    pure.watches.publish()
    pure.watches.publish()
    await until(lambda: len(pure.took) == 2)
    watcher.cancel()
    await asyncio.wait({watcher})
    assert len(pure.took) == 2


async def test_a_token_has_so_many_watchers_and_operators_their_own_places(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watching, "MOST_ORDINARY", 3)
    pure, gate = Pure(per_token=2), asyncio.Semaphore(100)
    calls = [pure.call("viewer"), pure.call("viewer")]
    watchers = [asyncio.create_task(pure.watch(one, gate)) for one in (*calls, calls[0])]
    await until(lambda: len(pure.watches) == 3)
    for call, error in ((calls[0], "your token"), (calls[1], "too many watchers")):
        with pytest.raises(ApiError, match=error) as refused:
            await pure.watch(call, gate)
        assert refused.value.status == 429
    watchers.append(asyncio.create_task(pure.watch(pure.call(), gate)))
    await until(lambda: len(pure.watches) == 4)
    for watcher in watchers:
        watcher.cancel()
    await asyncio.wait(watchers)
    assert len(pure.watches) == 0


async def test_a_region_is_sent_at_once_and_with_each_change() -> None:
    async with served() as world:
        call = world.call("RegionService.WatchRegion", NORTH)
        first = await call.read()
        assert first.region.region == "north"
        apply(world.model, topics.REGION_LIVE, region_live("north", NOW_MS + 500, soc=0.25))
        apply(world.model, topics.REGION_LIVE, region_live("south", NOW_MS + 500, soc=0.99))
        world.rpc.watches.publish()
        second = await call.read()
        assert (second.region.at_ms, second.region.soc) == (NOW_MS + 500, 0.25)
        call.cancel()


async def test_a_dispatch_is_watched_with_its_requests() -> None:
    async with served() as world:
        request = dispatch_pb2.WatchDispatchRequest(region="north")
        call = world.call("DispatchService.WatchDispatch", request)
        dispatch = (await call.read()).dispatch
        call.cancel()
    assert dispatch.status.mode == dispatch_pb2.MODE_TARGET
    assert dispatch.ruling_request_id == "target-1"
    assert dispatch.requests[0].target.export_w == 400_000
    assert {one.state for one in dispatch.requests} == {
        dispatch_pb2.REQUEST_STATE_ACTIVE,
        dispatch_pb2.REQUEST_STATE_OUTRANKED,
        dispatch_pb2.REQUEST_STATE_COMPLETED,
    }


async def test_cancelled_watchers_and_passed_deadlines_leave_nothing_behind() -> None:
    async with served(settings={"rpc_watchers_per_token": 100}) as world:
        metadata, before = world.metadata(), len(asyncio.all_tasks())
        calls = [world.call("RegionService.WatchRegion", NORTH, metadata) for _ in range(40)]
        for call in calls:
            await call.read()
        assert (len(world.rpc.watches), world.rpc.watches.channels) == (40, 1)
        for call in calls:
            call.cancel()
        await until(lambda: len(world.rpc.watches) == 0)
        assert world.rpc.watches.channels == 0
        late = world.call("RegionService.WatchRegion", NORTH, metadata, timeout=0.2)
        with pytest.raises(grpc.aio.AioRpcError) as ended:
            async for _ in late:
                pass
        assert ended.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        await until(lambda: len(world.rpc.watches) == 0)
        await until(lambda: len(asyncio.all_tasks()) <= before)


async def test_a_client_that_vanishes_leaves_nothing_behind() -> None:
    async with served() as world:
        channel = grpc.aio.insecure_channel(f"127.0.0.1:{world.port}")
        stream: Any = channel.unary_stream("/vpp.region.v1.RegionService/WatchRegion")
        call = stream(NORTH.SerializeToString(), metadata=world.metadata())
        await call.read()
        await channel.close()
        await until(lambda: len(world.rpc.watches) == 0)


async def test_a_watch_ends_with_the_right_and_with_the_token() -> None:
    clock = Clock()
    async with served(now_ms=clock) as world:
        account = world.entrance.add("nora", ("viewer", "region:north"))
        metadata = (("authorization", f"Bearer {world.entrance.token(name='nora')}"),)
        call = world.call("RegionService.WatchRegion", NORTH, metadata)
        await call.read()
        people = world.entrance.accounts.people
        people.take(account, grant_of("viewer", "region:north"))
        assert (await next_end(world, call, clock)).code is grpc.StatusCode.PERMISSION_DENIED
        people.grant(account, grant_of("viewer", "*"))
        call = world.call("RegionService.WatchRegion", NORTH, metadata)
        await call.read()
        people.disable(account, clock.now_ms)
        assert (await next_end(world, call, clock)).code is grpc.StatusCode.UNAUTHENTICATED
        assert len(world.rpc.watches) == 0


async def next_end(world: RpcWorld, call: Any, clock: Clock) -> Refused:
    clock.now_ms += REPEAT_MS
    world.rpc.watches.publish()
    with pytest.raises(grpc.aio.AioRpcError) as ended:
        await call.read()
    return Refused(ended.value)


async def test_a_server_that_stops_ends_every_watch_at_once() -> None:
    model = fed_read_model()
    async with RpcWorld(model).running() as world:
        call = world.call("RegionService.WatchRegion", NORTH)
        await call.read()
        stopping = asyncio.create_task(world.rpc.stop())
        with pytest.raises(grpc.aio.AioRpcError) as ended:
            await call.read()
        refused = Refused(ended.value)
        assert (refused.code, refused.error) == (grpc.StatusCode.UNAVAILABLE, "this server stops")
        await stopping


async def test_a_watcher_that_reads_nothing_is_ended_and_the_others_go_on() -> None:
    async with served(stall_s=0.3) as world:
        options = (("grpc.http2.lookahead_bytes", 1), ("grpc.http2.bdp_probe", 0))
        channel = grpc.aio.insecure_channel(f"127.0.0.1:{world.port}", options=options)
        stream: Any = channel.unary_stream("/vpp.region.v1.RegionService/WatchRegion")
        silent = stream(NORTH.SerializeToString(), metadata=world.metadata())
        await silent.read()
        reader = world.call("RegionService.WatchRegion", NORTH)
        await reader.read()
        async with asyncio.timeout(PATIENCE_S):
            while not world.model.counters["watchers_stalled"]:
                at_ms = NOW_MS + world.model.regions.changes
                apply(world.model, topics.REGION_LIVE, region_live("north", at_ms))
                world.rpc.watches.publish()
                newest = await reader.read()
        assert newest.region.region == "north"
        await until(lambda: len(world.rpc.watches) == 1)
        reader.cancel()
        await channel.close()
