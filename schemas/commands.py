"""Commands: leased setpoints of devices, and their outcomes.

A command is a lease: a setpoint with a start and an end, and the device ends it by itself. Many
commands are sent in one record (a frame). Topic ``commands`` keeps the commands and
``command.events`` their outcomes; both have the partitions of the sites, so together they give
any device's history in order.
"""

from typing import Annotated, Literal

import msgspec

from schemas.bounds import (
    MAX_MANY,
    EpochMs,
    Fraction,
    GatewaySlot,
    Id,
    Label,
    MaybeId,
    Offset,
    PartitionNumber,
    Positive,
    Sentence,
    Seq,
    ShortId,
    Watts,
)
from schemas.grid import Droop

Fallback = Literal["self_consumption", "prices"]
"""What follows a lease: self-consumption, or the newest price series while it lasts."""

CommandState = Literal[
    "created",
    "routed",
    "delivered",
    "accepted",
    "rejected",
    "applied",
    "completed",
    "superseded",
    "expired",
    "failed",
    "opted_out",
]
FINAL: frozenset[str] = frozenset(
    {"rejected", "completed", "superseded", "expired", "failed", "opted_out"}
)


class CommandRow(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The part of a command that differs between the devices of a frame."""

    device_id: Id
    epoch: Offset
    """The connection for which it is made: offset of its connect record in ``presence``."""
    setpoint_w: Watts | None
    """Battery power, + = discharge; None = release: end the lease."""
    ramp_w_s: Positive
    """Largest change of power per second, W/s."""
    soc_min: Fraction
    """The reserve in the cloud's calculation; the device keeps the higher of this and its own."""


class CommandFrame(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Commands made at one moment from one `Dispatch` (or alert).

    Topic ``commands``, key region, partition of the sites: the audit trail. Topic
    ``gateway.out``, partition = gateway slot: those of one gateway, to be delivered.
    """

    partition: PartitionNumber
    """Fleet partition."""
    rank: Seq
    """Increases within the partition; a device accepts only the newest. It is the time of creation,
    UTC ms, or one more than the previous rank."""
    slot: GatewaySlot
    """Gateway slot to which it is routed."""
    region: Id
    request_id: MaybeId
    created_at_ms: EpochMs
    asked_at_ms: EpochMs
    """When the request was issued."""
    not_before_ms: EpochMs
    valid_until_ms: EpochMs
    fallback: Fallback = "self_consumption"
    droop: Droop | None = None
    rows: Annotated[tuple[CommandRow, ...], msgspec.Meta(max_length=MAX_MANY)]


def command_id(partition: int, rank: int) -> str:
    """A command's id: unique for a device, the same for all devices of a frame."""
    return f"c{partition}-{rank}"


def rank_of(id_: str, partition: int) -> int | None:
    """The rank in a command's id; None if the id is not of this partition."""
    head, _, rank = id_.partition("-")
    number = rank.isascii() and rank.isdecimal() and len(rank) < 19
    return int(rank) if head == f"c{partition}" and number else None


PROGRESS: tuple[CommandState, ...] = ("created", "routed", "delivered", "accepted", "applied")


def step_of(state: CommandState) -> int:
    """The number of steps that a command has taken; the states that end it are the last step."""
    return PROGRESS.index(state) if state in PROGRESS else len(PROGRESS)


class CommandEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """The outcome of one device's command, or a step towards it."""

    device_id: ShortId
    command_id: ShortId
    state: CommandState
    at_ms: EpochMs
    epoch: Offset | None = None
    """Epoch of the connection that reported it; null = reported by the cloud."""
    reason: Sentence = ""
    power_w: Watts | None = None
    """Battery power at that time, W, as the device reports it."""


class CommandEvents(msgspec.Struct, frozen=True, kw_only=True):
    """Topic ``command.events``, partition of the sites, no key: events of one moment, in order.

    Device, gateway and fleet role may each report the end of a command, and report it again after
    a crash. The first end of a device's command in the order of the partition is its end; readers
    ignore every later one.
    """

    source: Label
    """The process that reports them."""
    partition: PartitionNumber
    events: Annotated[tuple[CommandEvent, ...], msgspec.Meta(max_length=MAX_MANY)]
