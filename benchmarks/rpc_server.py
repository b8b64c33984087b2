"""A server for the benchmark `rpc`: gRPC or HTTP, over one small read model, without Kafka.

It reads lines from its input: ``report`` prints its usage as JSON, and its end ends it.
"""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict
from typing import Any, TypeVar

import uvicorn

from benchmarks.processes import usage
from schemas.windows import Aggregate, Deliverable, RegionLive
from vpp_streams import clock
from vpp_streams.accounts.accounts import Accounts
from vpp_streams.domain.access.rights import ACTIONS, grant_of
from vpp_streams.kafka.topic import Topic
from vpp_streams.process.ports import bound
from vpp_streams.rpc.server import Rpc
from vpp_streams.serving.logins import Logins
from vpp_streams.serving.readmodel import ReadModel
from vpp_streams.settings import Settings
from vpp_streams.web.api import create_web
from vpp_streams.web.connections import DoorConfig
from vpp_streams.web.places import BACKLOG, Limits, Places
from vpp_streams.web.senders import Senders

MOST = 5_000
CHANGE_S = 0.5
"""How often the region changes: as regions do."""
T = TypeVar("T")


class NoKafka:
    """In place of Kafka: nothing is written or read here."""

    async def write(self, topic: Topic[T], record: T) -> object:
        """Refuse."""
        raise NotImplementedError(topic.name, record)

    async def read_since(
        self, topic: Topic, since_ms: int, partition: int
    ) -> AsyncIterator[tuple[int, bytes | None]]:
        """Refuse."""
        raise NotImplementedError(topic.name, since_ms, partition)
        yield


def live(at_ms: int) -> RegionLive:
    """A region of 1,000 sites."""
    held = tuple(Deliverable(s, 3e6, 2e6) for s in (900, 3600, 14_400))
    return RegionLive(
        region="north",
        at_ms=at_ms,
        soc=0.6,
        coverage=0.99,
        oldest_sample_age_s=1.2,
        partitions_expected=8,
        partitions_reporting=8,
        aggregate=Aggregate(
            sites_expected=1000,
            sites_reporting=990,
            oldest_sample_ms=at_ms - 1200,
            battery_w=1e5 + at_ms % 1000,
            grid_w=2e5,
            solar_w=3e5,
            load_w=6e5,
            stored_wh=8e6,
            usable_wh=13.5e6,
            deliverable=held,
        ),
        age_p50_ms=400.0,
        age_p99_ms=900.0,
        fresh_ages_ms=(),
    )


async def change_for_ever(model: ReadModel) -> None:
    """Change the region as the region role does."""
    while True:
        model.regions.apply_live(live(clock.now_ms()), clock.now_ms())
        await asyncio.sleep(CHANGE_S)


async def serve(kind: str) -> None:
    """Serve until the input ends; prints the port and a token first."""
    model = ReadModel(clock.now_ms())
    model.regions.apply_live(live(clock.now_ms()), clock.now_ms())
    accounts = Accounts(None)
    account = accounts.people.add("bench", [grant_of("viewer", "*")], at_ms=clock.now_ms())
    token = accounts.sessions.add_token(account, "bench", ACTIONS, now_ms=clock.now_ms(), days=1)
    settings = Settings(rpc_watchers_per_token=MOST)
    logins = Logins(None, accounts)
    counts: dict[str, Callable[[], int]] = {}
    changing = asyncio.create_task(change_for_ever(model))
    work: list[asyncio.Task[Any]] = [changing]
    if kind == "grpc":
        rpc = Rpc(settings, model, clock.now_ms, NoKafka(), logins=logins)
        port = rpc.listen("127.0.0.1", 0, None)
        await rpc.start()
        work.append(asyncio.create_task(rpc.watches.run()))
        counts = {"watchers": lambda: len(rpc.watches), "channels": lambda: rpc.watches.channels}
    else:
        app = create_web(settings, model, clock.now_ms, NoKafka(), logins=logins)
        places = Places(Limits(ordinary=MOST, per_client=MOST, waiting=9, operators=9))
        door = DoorConfig(app, places, Senders(logins).is_operator, port=0, lifespan="off")
        server = uvicorn.Server(door)
        listener = bound("127.0.0.1", 0)  # as `vpp web` does
        listener.listen(BACKLOG)
        port = listener.getsockname()[1]
        work.append(asyncio.create_task(server.serve(sockets=[listener])))
    print(json.dumps({"port": port, "token": token}), flush=True)
    while await asyncio.to_thread(sys.stdin.readline):
        now = usage(os.getpid())
        found = {name: read() for name, read in counts.items()}
        print(json.dumps({**(asdict(now) if now else {}), **found}), flush=True)
    for task in work:
        task.cancel()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1]))
