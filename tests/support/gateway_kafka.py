"""A gateway on a real Kafka, and devices that connect to it."""

import asyncio
import contextlib
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from aiokafka import ConsumerRecord
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from schemas import protocol, wire
from schemas.assets import Device, Site
from schemas.bounds import PARTITIONS
from schemas.encoding import encode_json
from schemas.presence import Presence
from schemas.protocol import (
    Ack,
    Call,
    Hello,
    HelloResult,
    Result,
    Telemetry,
)
from schemas.telemetry import RawLine
from schemas.wire import decode, decode_result
from tests.support.kafka_world import read_all
from tests.support.raw_records import readings_of
from tests.support.waiting import PATIENCE_S
from vpp_streams.domain.registry.hashing import partition_of
from vpp_streams.gateway.actions import Limits
from vpp_streams.gateway.server import Gateway, running_gateway
from vpp_streams.kafka import topics
from vpp_streams.kafka.admin import ensure_topics
from vpp_streams.kafka.clients import KafkaClients
from vpp_streams.kafka.topic import Topic
from vpp_streams.settings import Settings

T0 = 1_763_855_000_000
QUICK = Limits(ack_ms=50)
"""Limits of a gateway that acks every 50 ms, so that tests do not wait."""
BOTH_ENGINES = pytest.mark.parametrize("engine", ["own", "stock"])
"""Runs a test with our own WebSocket engine and with the library's."""


def token_of(device_id: str) -> str:
    """Return a device's secret; its site holds the hash."""
    return f"secret of {device_id}"


def home(n: int, **changes: Any) -> Site:
    """Return site ``home-n`` with one Powerwall, ``pw-n``."""
    device_id = f"pw-{n}"
    digest = hashlib.sha256(token_of(device_id).encode()).hexdigest()
    device = Device(device_id=device_id, kind="powerwall", token_sha256=digest)
    return msgspec.structs.replace(
        Site(site_id=f"home-{n}", region="north", devices=(device,)), **changes
    )


async def write_asset(settings: Settings, site_id: str, value: bytes | None) -> None:
    """Write a site's encoded record to the registry, or its tombstone."""
    producer = KafkaClients(settings).producer()
    await producer.start()
    await producer.send_and_wait(
        topics.ASSETS.full(settings.namespace),
        value,
        key=site_id.encode(),
        partition=partition_of(site_id, PARTITIONS),
    )
    await producer.stop()


async def register(settings: Settings, *sites: Site) -> None:
    """Create the topics and write these sites to the registry."""
    await ensure_topics(KafkaClients(settings))
    for site in sites:
        await write_asset(settings, site.site_id, encode_json(site))


@asynccontextmanager
async def gateway_with(
    settings: Settings, *sites: Site, limits: Limits = QUICK, **changes: Any
) -> AsyncIterator[Gateway]:
    """Run a gateway that knows these sites, on a free port; ``changes`` are settings."""
    settings = settings.model_copy(update={"gateway_port": 0, "flush_ms": 20, **changes})
    await register(settings, *sites)
    async with running_gateway(settings, slot=2, limits=limits) as gateway:
        yield gateway


def connect_device(gateway: Gateway, device_id: str, **changes: Any) -> connect:
    """Return a WebSocket connection to await or enter; ``changes`` are options of the client."""
    options: dict[str, Any] = {
        "subprotocols": [protocol.SUBPROTOCOL],
        "additional_headers": {"Authorization": f"Bearer {token_of(device_id)}"},
        "compression": None,
        **changes,
    }
    scheme = "wss" if "ssl" in options else "ws"
    return connect(f"{scheme}://127.0.0.1:{gateway.port}/v1/{device_id}", **options)


async def next_message(socket: ClientConnection) -> protocol.Message:
    """Return the next message from the gateway; it fails after `PATIENCE_S`."""
    async with asyncio.timeout(PATIENCE_S):
        return decode(await socket.recv(decode=False))


async def send_hello(socket: ClientConnection, next_seq: int = 1) -> HelloResult:
    """Send a Hello of boot ``b0`` and return the accepted answer."""
    await socket.send(
        wire.encode_call("h", Hello(boot="b0", next_seq=next_seq, fw="24.1")), text=True
    )
    result = await next_message(socket)
    assert isinstance(result, Result), result
    accepted = decode_result(result, HelloResult)
    assert isinstance(accepted, HelloResult)
    return accepted


async def send_reading(socket: ClientConnection, seq: int) -> None:
    """Send the reading of this number."""
    reading = Telemetry(b="b0", s=seq, t=T0 + seq, p=float(seq))
    await socket.send(wire.encode_send(str(seq), reading), text=True)


async def wait_for_ack(socket: ClientConnection, seq: int) -> Ack:
    """Read until an Ack covers ``seq``; an error instead fails the test."""
    while True:
        message = await next_message(socket)
        assert isinstance(message, Call), message
        if isinstance(message.payload, Ack) and message.payload.upto >= seq:
            return message.payload


async def wait_for_close(socket: ClientConnection) -> int:
    """Read until the gateway closes the connection, and return its close code."""
    async with asyncio.timeout(PATIENCE_S):
        with contextlib.suppress(ConnectionClosed):
            while True:
                await socket.recv()
    assert socket.close_code is not None
    return socket.close_code


async def all_records(settings: Settings, topic: Topic) -> list[ConsumerRecord]:
    """Return every record of a topic, partition by partition."""
    return await read_all(settings, topic.full(settings.namespace))


async def raw_lines(settings: Settings, topic: Topic) -> list[tuple[int, RawLine]]:
    """Return (partition, line) of every reading in a raw topic, whichever form its frame has."""
    return [
        (record.partition, line)
        for record in await all_records(settings, topic)
        for line in readings_of(record.value, record.headers)
    ]


async def presence_of(settings: Settings, device_id: str) -> list[tuple[int, Presence]]:
    """Return (offset, record) of a device's connects and disconnects."""
    return [
        (record.offset, msgspec.json.decode(record.value, type=Presence))
        for record in await all_records(settings, topics.PRESENCE)
        if record.key == device_id.encode()
    ]


async def refusal(dialling: connect) -> tuple[int, str]:
    """Status and reason of an upgrade that was refused."""
    with pytest.raises(InvalidStatus) as refused:
        await dialling
    response = refused.value.response
    assert response.body is not None
    return response.status_code, json.loads(response.body)["error"]
