"""gRPC beside HTTP: a region read by both, and a region watched by 1,000 clients over gRPC.

    python -m benchmarks.rpc

Each server is a process of its own with the same read model, rights and token; the client here is
another. Both are asked in turns, so that a busy machine slows both. A call is counted when its
answer has been decoded; rates and latencies are medians of the rounds. Ratios are of CPU time,
server and client together, to the same call over HTTP; a watched region changes twice a second, and
its ratio is of the server's CPU time per message to that of a call.
"""

import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import grpc

from benchmarks.processes import usage
from benchmarks.report import Table, parser, progress, publish
from vpp.region.v1 import region_pb2, region_pb2_grpc

AT_ONCE = 16
PER_CHANNEL = 100
Call = Callable[[], Awaitable[object]]


class Server:
    """A server in a process of its own."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        said = json.loads(self._line())
        self.port: int = said["port"]
        self.token: str = said["token"]

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def report(self) -> dict[str, Any]:
        """Its usage, and who watches."""
        assert self._process.stdin is not None
        self._process.stdin.write("report\n")
        self._process.stdin.flush()
        found: dict[str, Any] = json.loads(self._line())
        return found


@contextmanager
def serving(kind: str) -> Iterator[Server]:
    """A server of a kind during the body."""
    command = [sys.executable, "-m", "benchmarks.rpc_server", kind]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield Server(process)
        finally:
            process.terminate()


@dataclass(slots=True)
class Round:
    """What some rounds of calls took."""

    calls: int = 0
    wall_s: list[float] = field(default_factory=list)
    """Of each round, per call."""
    server_s: float = 0.0
    client_s: float = 0.0
    p50_ms: list[float] = field(default_factory=list)
    p99_ms: list[float] = field(default_factory=list)
    """Of each round."""


async def ask(call: Call, calls: int, server: Server, into: Round) -> None:
    """One round of calls, `AT_ONCE` at a time."""
    latency_ms: list[float] = []

    async def some() -> None:
        for _ in range(calls // AT_ONCE):
            start_s = time.perf_counter()
            await call()
            latency_ms.append(1e3 * (time.perf_counter() - start_s))

    before, mine_s, start_s = server.report(), time.process_time(), time.perf_counter()
    await asyncio.gather(*(some() for _ in range(AT_ONCE)))
    into.wall_s.append((time.perf_counter() - start_s) / calls)
    into.client_s += time.process_time() - mine_s
    into.server_s += server.report()["cpu_s"] - before["cpu_s"]
    into.calls += calls
    cuts = statistics.quantiles(latency_ms, n=100)
    into.p50_ms.append(cuts[49])
    into.p99_ms.append(cuts[98])


async def compare(calls: int, rounds: int) -> Table:
    """A region read over gRPC and over HTTP, in turns."""
    table = Table(
        f"A region read {calls * rounds:,} times, {AT_ONCE} at a time",
        (
            *("by", "x HTTP's CPU", "x HTTP's rate", "calls/s", "p50, ms", "p99, ms"),
            *("server, us CPU", "both, us CPU"),
        ),
    )
    found = {"HTTP": Round(), "gRPC": Round()}
    async with AsyncExitStack() as stack:
        http = stack.enter_context(serving("http"))
        ours = stack.enter_context(serving("grpc"))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        channel = await stack.enter_async_context(
            grpc.aio.insecure_channel(f"127.0.0.1:{ours.port}")
        )
        stub: Any = region_pb2_grpc.RegionServiceStub(channel)
        request = region_pb2.GetRegionRequest(region="north")
        metadata = (("authorization", f"Bearer {ours.token}"),)
        headers = {"Authorization": f"Bearer {http.token}"}
        url = f"http://127.0.0.1:{http.port}/api/v1/regions/north"

        async def over_http() -> object:
            async with session.get(url, headers=headers) as answer:
                return json.loads(await answer.read())

        async def over_grpc() -> object:
            return await stub.GetRegion(request, metadata=metadata)

        for _ in range(2 * AT_ONCE):
            await over_http()
            await over_grpc()
        for turn in range(rounds):
            progress(f"round {turn + 1} of {rounds}")
            await ask(over_http, calls, http, found["HTTP"])
            await ask(over_grpc, calls, ours, found["gRPC"])
    base = found["HTTP"]
    base_us = 1e6 * (base.server_s + base.client_s) / base.calls
    base_s = statistics.median(base.wall_s)
    for name, one in found.items():
        both_us = 1e6 * (one.server_s + one.client_s) / one.calls
        call_s = statistics.median(one.wall_s)
        p50_ms, p99_ms = statistics.median(one.p50_ms), statistics.median(one.p99_ms)
        server_us = 1e6 * one.server_s / one.calls
        table.add(
            *(name, both_us / base_us, base_s / call_s, 1 / call_s, p50_ms, p99_ms),
            *(server_us, both_us),
        )
    table.notes.append(f"rates and latencies: the median of {rounds} rounds in turn")
    return table


async def watch(watchers: int, seconds: float) -> Table:
    """A region watched by many, and what is left when they have gone."""
    table = Table(
        f"A region watched by {watchers:,} clients for {seconds:g} s",
        ("", "x one call", "value"),
    )
    with serving("grpc") as server:
        request = region_pb2.WatchRegionRequest(region="north")
        metadata = (("authorization", f"Bearer {server.token}"),)
        idle = server.report()
        channels = [
            # Each has a connection of its own, as different clients have.
            grpc.aio.insecure_channel(
                f"127.0.0.1:{server.port}", options=(("grpc.use_local_subchannel_pool", 1),)
            )
            for _ in range(-(-watchers // PER_CHANNEL))
        ]
        stubs: list[Any] = [region_pb2_grpc.RegionServiceStub(channel) for channel in channels]
        calls = [
            stubs[n // PER_CHANNEL].WatchRegion(request, metadata=metadata) for n in range(watchers)
        ]
        for call in calls:
            await call.read()
        got = [0] * watchers

        async def read(n: int) -> None:
            while True:
                await calls[n].read()
                got[n] += 1

        tasks = [asyncio.create_task(read(n)) for n in range(watchers)]
        before, start_s = server.report(), time.perf_counter()
        base = sum(got)
        await asyncio.sleep(seconds)
        lasted_s, after = time.perf_counter() - start_s, server.report()
        delivered, least = sum(got) - base, min(got)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for call in calls:
            call.cancel()
        for channel in channels:
            await channel.close()
        left = await all_left(server)
    cpu_s = after["cpu_s"] - before["cpu_s"]
    call_us = await one_call_us()
    message_us = 1e6 * cpu_s / max(1, delivered)
    table.add("server, us CPU a message", message_us / call_us, message_us)
    table.add("server, cores", None, cpu_s / lasted_s)
    table.add("delivered, messages/s", None, delivered / lasted_s)
    table.add("the least that a watcher got", None, least)
    table.add("memory of a watcher, KB", None, 1024 * (after["rss_mb"] - idle["rss_mb"]) / watchers)
    table.add("watchers when all have gone", None, int(left["watchers"]))
    table.add("channels when all have gone", None, int(left["channels"]))
    return table


async def all_left(server: Server) -> dict[str, Any]:
    """The server's report once nobody watches, or after half a minute."""
    for _ in range(300):
        report = server.report()
        if not report["watchers"]:
            break
        await asyncio.sleep(0.1)
    return report


async def one_call_us() -> float:
    """CPU time of a server for one call, us."""
    with serving("grpc") as server:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            stub: Any = region_pb2_grpc.RegionServiceStub(channel)
            request = region_pb2.GetRegionRequest(region="north")
            metadata = (("authorization", f"Bearer {server.token}"),)
            found = Round()
            await ask(lambda: stub.GetRegion(request, metadata=metadata), 1600, server, found)
    return 1e6 * found.server_s / found.calls


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    options = parser(__doc__, repeat=5)
    options.add_argument("--calls", type=int, default=3200, help="calls of each in a round")
    options.add_argument("--watchers", type=int, default=1000)
    options.add_argument("--seconds", type=float, default=20.0, help="how long they watch")
    args = options.parse_args(argv)
    assert usage(os.getpid()) is not None, "this benchmark needs Linux's /proc"
    tables = [
        asyncio.run(compare(args.calls, args.repeat)),
        asyncio.run(watch(args.watchers, args.seconds)),
    ]
    publish(args, tables)


if __name__ == "__main__":
    main()
