"""A simulated device without a socket: how to create one, and what it sends."""

import random
from collections import Counter
from typing import Any

import msgspec
import numpy as np

from edge.leases import LeaseOf, Leases
from edge.ring import MemoryRing
from edge.session import Device, Patience, Step
from schemas.protocol import (
    Ack,
    Backfill,
    BackfillPace,
    Call,
    HelloResult,
)
from schemas.telemetry import NativeBody
from schemas.wire import (
    decode,
    encode_result,
    encode_send,
)
from tests.support.plant_world import EPOCH

BOOT = "b7f2"
PATIENCE = Patience(
    reconnect_first_ms=1000, reconnect_most_ms=60_000, resend_ms=60_000, refused_ms=5000
)
"""Reconnects after 1 s to 60 s."""


def battery_lease() -> LeaseOf:
    """Return the empty lease of one battery."""
    return Leases(np.array([True]), lambda _row, _prices: None).of(0)


def new_device(ring_capacity: int = 100, seed: int = 1, controls: LeaseOf | None = None) -> Device:
    """Return a Powerwall that has never connected."""
    return Device(
        MemoryRing(BOOT, ring_capacity),
        "powerwall3",
        "24.36",
        rng=random.Random(seed),
        counters=Counter(),
        controls=controls or battery_lease(),
    )


def reading_body(t: int) -> NativeBody:
    """Return a reading whose power shows its number."""
    return NativeBody(1_763_856_000_000 + t, p=float(t), g=-1.5, soc=0.5)


def hello_answer(
    delay_ms: tuple[int, int] = (0, 0),
    rows_per_s: int = 50,
    interval_ms: int = 1000,
    t: int = 0,
    *,
    boot_used: bool = False,
) -> bytes:
    """Return the gateway's encoded answer to a Hello."""
    result = HelloResult(
        EPOCH,
        t,
        interval_ms,
        5000,
        30,
        BackfillPace(delay_ms, rows_per_s),
        boot_used=boot_used or msgspec.UNSET,
    )
    return encode_result("hello", result)


def encoded_ack(first: int, upto: int, boot: str = BOOT, t: int = 0) -> bytes:
    """Return the gateway's encoded Ack of a range of readings."""
    return encode_send(f"a{upto}", Ack(b=boot, from_=first, upto=upto, t=t))


def sent_payloads(step: Step) -> list[Any]:
    """Return the payloads of all messages that a step sends."""
    calls = [decode(message) for message in step.send]
    assert all(isinstance(call, Call) for call in calls), calls
    return [call.payload for call in calls]


def backfilled_seqs(step: Step) -> list[int]:
    """Return the numbers of the readings that a step's Backfills cover."""
    seqs: list[int] = []
    for backfill in sent_payloads(step):
        assert isinstance(backfill, Backfill)
        seqs += range(backfill.from_, backfill.from_ + len(backfill.rows))
    return seqs


def live_device(measured_before: int = 0, **accept: Any) -> Device:
    """Return a connected device; ``accept`` goes to `hello_answer`."""
    device = new_device()
    for i in range(measured_before):
        assert device.measured(reading_body(i), i) == Step()
    device.connected(0)
    assert device.received(hello_answer(**accept), 0) == Step()
    return device
