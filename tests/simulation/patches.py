"""Puts a simulated world in the place of the clock, Kafka, sockets and chance, for a while."""

import gc
import os
import random
import socket
import sys
import time
import uuid
import zlib
from collections.abc import Callable, Collection, Iterator, MutableMapping
from contextlib import contextmanager
from importlib import import_module
from types import FunctionType
from typing import TYPE_CHECKING, Any

import aiokafka
import aiokafka.admin
import structlog
from aiokafka.conn import create_conn
from websockets.asyncio.client import connect

import agents.fleet
import vpp_streams.gateway.server
from schemas import bounds
from tests.simulation import PARTITIONS
from tests.simulation.admin import SimAdmin
from tests.simulation.clients import Client, SimConsumer
from tests.simulation.links import Connecting, SimEngine
from tests.simulation.producer import SimProducer
from vpp_streams.domain.fleet.frames import Policy
from vpp_streams.gateway.engine import OwnEngine
from vpp_streams.gateway.link import Link
from vpp_streams.kafka import topics
from vpp_streams.kafka.clients import with_short_requests
from vpp_streams.kafka.topic_ids import topic_ids
from vpp_streams.settings import Settings

if TYPE_CHECKING:
    from tests.simulation.world import World

OURS = ("vpp_streams", "agents", "tables", "schemas", "edge", "device_sim", "tests.simulation")
CONSTANTS: dict[str, dict[str, float]] = {
    "tables.log_reader": {"POLL_MS": 1000},
    "agents.control_feed": {"POLL_MS": 1000},
    "vpp_streams.kafka.follower": {"POLL_MS": 1000},
    "agents.ingest": {"SETTLE_S": 0.2},
}
"""How often idle loops look whether there is something: what comes wakes them anyway, and a seed
plays twice as fast."""
_current: list["World"] = []


def _world() -> "World":
    return _current[0]


def _mono_s() -> float:
    return _world().loop.now_s


def _wall_s() -> float:
    world = _world()
    return (world.utc_ms() + world.loop.running.clock_ms) / 1000


def _wall_ns() -> int:
    world = _world()
    return (world.utc_ms() + world.loop.running.clock_ms) * 1_000_000


def _policy_of(settings: Settings) -> Policy:
    """Windows that close while a seed is played."""
    return Policy(sizes_ms=(10_000, 30_000), lateness_ms=int(settings.allowed_lateness_s * 1000))


async def _topic_ids(client: Client, names: Collection[str]) -> dict[str, uuid.UUID]:
    kafka = client.kafka
    return await kafka.call(
        lambda: {
            name: uuid.UUID(int=kafka.topics[name].topic_id + 1)
            for name in names
            if name in kafka.topics
        }
    )


async def _no_connection(*_args: object, **_options: object) -> None:
    """What looks for the reason of a failed start finds nothing: the world has no sockets."""
    raise ConnectionRefusedError("simulated")


def _randbytes(n: int) -> bytes:
    return _world().rng.randbytes(n)


def _random() -> float:
    return _world().rng.random()


def _uniform(low: float, high: float) -> float:
    return _world().rng.uniform(low, high)


def _replacements() -> dict[int, tuple[Any, Any]]:
    pairs: list[tuple[Any, Any]] = [
        (time.time, _wall_s),
        (time.time_ns, _wall_ns),
        (time.monotonic, _mono_s),
        (time.monotonic_ns, lambda: int(_mono_s() * 1e9)),
        (time.perf_counter, _mono_s),
        (time.perf_counter_ns, lambda: int(_mono_s() * 1e9)),
        (time.process_time, _mono_s),
        (time.thread_time, _mono_s),
        (os.getpid, lambda: _world().loop.running.number),
        (socket.gethostname, lambda: "simulated"),
        (uuid.uuid4, lambda: uuid.UUID(int=_world().rng.getrandbits(128), version=4)),
        (os.urandom, _randbytes),
        (random.random, _random),
        (random.uniform, _uniform),
        (aiokafka.AIOKafkaConsumer, SimConsumer),
        (aiokafka.AIOKafkaProducer, SimProducer),
        (aiokafka.admin.AIOKafkaAdminClient, SimAdmin),
        (topic_ids, _topic_ids),
        (create_conn, _no_connection),
        (with_short_requests, lambda client: client),  # a simulated one has no connections
        (connect, Connecting),
        (OwnEngine, SimEngine),
        (agents.fleet.policy_of, _policy_of),
    ]
    return {id(old): (old, new) for old, new in pairs}


@contextmanager
def simulated() -> Iterator[Callable[["World"], None]]:  # noqa: C901, PLR0912  # what is swapped is swapped back
    """During the block every clock, client and socket of the project is the current world's.

    Yields what makes a world the current one.
    """
    for name in CONSTANTS:
        import_module(name)  # all that is swapped has to be there before anything is
    swapped: list[tuple[Any, Any, Any]] = []
    by_id = _replacements()
    named = [time, os, socket, uuid, random, aiokafka, aiokafka.admin]
    named += [m for name, m in list(sys.modules.items()) if name.split(".")[0] in OURS]
    for module in named:
        if module is None or module.__name__.startswith("tests."):
            continue
        for name, value in list(vars(module).items()):
            pair = by_id.get(id(value))
            if pair is not None:
                swapped.append((module, name, value))
                setattr(module, name, pair[1])
            for function in _functions_of(value):
                defaults = function.__defaults__ or ()
                new = tuple(by_id.get(id(d), (d, d))[1] for d in defaults)
                if any(a is not b for a, b in zip(new, defaults, strict=True)):
                    swapped.append((function, "__defaults__", defaults))
                    function.__defaults__ = new
    real = bounds.PARTITIONS
    for module in (m for m in named if getattr(m, "PARTITIONS", None) == real):
        swapped.append((module, "PARTITIONS", real))
        module.PARTITIONS = PARTITIONS
    every = [t for t in (*topics.ALL, *topics.INTERNAL) if t.partitions == real]
    every.remove(topics.GATEWAY_OUT)
    for topic in every:
        object.__setattr__(topic, "partitions", PARTITIONS)
    for name, constants in CONSTANTS.items():
        module = sys.modules[name]
        for constant, value in constants.items():
            swapped.append((module, constant, getattr(module, constant)))
            setattr(module, constant, value)
    engines = vpp_streams.gateway.server.ENGINES
    before = dict(engines)
    engines["own"] = SimEngine
    Link.__hash__ = _hash_of_link  # type: ignore[method-assign,assignment]
    hook = sys.unraisablehook
    sys.unraisablehook = lambda raised: None if _is_killed(raised) else hook(raised)
    log_configuration = structlog.get_config()
    structlog.configure(processors=[_note], cache_logger_on_first_use=False)
    try:
        yield _make_current
    finally:
        gc.collect()
        sys.unraisablehook = hook
        _current.clear()
        structlog.configure(**log_configuration)
        del Link.__hash__
        engines.update(before)
        for topic in every:
            object.__setattr__(topic, "partitions", real)
        for module, name, value in swapped:
            setattr(module, name, value)


def _is_killed(raised: Any) -> bool:
    """A coroutine of a process that was killed while it waited in a `finally`."""
    return "ignored GeneratorExit" in str(raised.exc_value)


def _functions_of(value: Any) -> list[FunctionType]:
    """A function, or those of a class: a clock may be the default of a parameter."""
    if isinstance(value, FunctionType):
        return [value] if value.__module__.split(".")[0] in OURS else []
    if isinstance(value, type) and value.__module__.split(".")[0] in OURS:
        return [each for each in vars(value).values() if isinstance(each, FunctionType)]
    return []


def _make_current(world: "World") -> None:
    _current[:] = [world]
    Client.kafka = world.kafka
    SimEngine.world = world
    Connecting.world = world


def _hash_of_link(link: Link) -> int:
    """Sets of links are walked in the same order every time."""
    return zlib.crc32(link.session.device.device_id.encode())


def _note(_logger: Any, _level: str, event: MutableMapping[str, Any]) -> Any:
    """What the project logs goes into the world's story."""
    if _current:
        _world().logged(dict(event))
    raise structlog.DropEvent
