"""A device's story: its commands and their outcomes, from the two topics that keep them.

Topics ``commands`` (commands) and ``command.events`` (outcomes) have the partitions of the sites;
`story_of` merges a device's part of both in order of time.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import suppress
from itertools import pairwise
from typing import Protocol, TypeVar

import msgspec

from schemas.commands import (
    FINAL,
    CommandEvent,
    CommandFrame,
    CommandRow,
    CommandState,
    command_id,
    step_of,
)
from schemas.wire import UNREADABLE
from vpp_streams.kafka import topics
from vpp_streams.kafka.topic import Topic

MOST_LINES = 5_000
"""Largest number of lines, the newest: an hour of renewed leases has about 1500."""
T = TypeVar("T")
_Place = tuple[int, int, str]
"""Time in ms, step of the command's life, command id: the key by which lines are sorted."""


class StoryLine(msgspec.Struct, frozen=True, kw_only=True):
    """One event in the life of a device's command."""

    at_ms: int
    """Time by the clock of the reporter: the fleet role, the gateway, or the device."""
    command_id: str
    request_id: str
    """Empty if the command itself was written before the period of the story."""
    state: CommandState
    said: str
    """One sentence for people."""
    until_ms: int | None = None
    """When the lease ends by itself; only of a command that was created."""
    renews: str = ""
    """The first command of the lease that this command renews unchanged; empty = it is none."""


class CommandTopics(Protocol):
    """The topics from which a story is read."""

    def read_since(
        self, topic: Topic, since_ms: int, partition: int
    ) -> AsyncIterator[tuple[int, bytes | None]]:
        """(time written in ms, value) of each record from ``since_ms`` to the present end."""
        ...


async def read_story(
    kafka: CommandTopics,
    device_id: str,
    partition: int,
    *,
    since_ms: int,
    now_ms: int,
) -> list[StoryLine]:
    """A device's story from ``since_ms`` on, from its partition of the topics.

    Records that cannot be read are left out, so that no writer can prevent an answer.
    """
    frames, batches = await asyncio.gather(
        _records_naming(device_id, kafka, topics.COMMANDS, partition, since_ms),
        _records_naming(device_id, kafka, topics.COMMAND_EVENTS, partition, since_ms),
    )
    events = [event for batch in batches for event in batch.events]
    return story_of(device_id, frames, events, now_ms)[-MOST_LINES:]


async def _records_naming(
    device_id: str, kafka: CommandTopics, topic: Topic[T], partition: int, since_ms: int
) -> list[T]:
    # Most records are about other devices: they are left out before anything is decoded.
    name = f'"{device_id}"'.encode()
    found: list[T] = []
    async for _, value in kafka.read_since(topic, since_ms, partition):
        if value is not None and name in value:
            with suppress(*UNREADABLE):
                found.append(msgspec.json.decode(value, type=topic.contract))
    return found


def story_of(
    device_id: str,
    frames: Iterable[CommandFrame],
    events: Iterable[CommandEvent],
    now_ms: int,
) -> list[StoryLine]:
    """A device's commands and their events as lines in the order of time.

    ``events`` are in the log's order: the first end of a command is its end. A command's lines
    keep the order of its life even if the clocks of the reporters differ a little. A lease whose
    end nobody reported has a line that says so.
    """
    commands = {
        command_id(frame.partition, frame.rank): (frame, row)
        for frame in frames
        for row in frame.rows
        if row.device_id == device_id
    }
    by_command: dict[str, list[CommandEvent]] = {id_: [] for id_ in commands}
    for event in events:
        if event.device_id != device_id:
            continue
        by_command.setdefault(event.command_id, []).append(event)
    lines = [
        line
        for id_, states in by_command.items()
        for line in _lines_of(id_, commands.get(id_), list(_life(states)), now_ms)
    ]
    renews = _renewed_by(commands)
    return [
        msgspec.structs.replace(line, renews=renews.get(line.command_id, ""))
        for _, line in sorted(lines, key=lambda placed: placed[0])
    ]


def _renewed_by(commands: Mapping[str, tuple[CommandFrame, CommandRow]]) -> dict[str, str]:
    """Of each command that renews another's lease unchanged: the first command of that lease."""
    in_order = sorted(commands.items(), key=lambda item: item[1][0].rank)
    first: dict[str, str] = {}
    for (before_id, before), (id_, now) in pairwise(in_order):
        if _renews(now, before):
            first[id_] = first.get(before_id, before_id)
    return first


def _renews(now: tuple[CommandFrame, CommandRow], before: tuple[CommandFrame, CommandRow]) -> bool:
    (frame, row), (old, old_row) = now, before
    return (
        row.setpoint_w is not None
        and (row.setpoint_w, row.soc_min) == (old_row.setpoint_w, old_row.soc_min)
        and (frame.request_id, frame.droop) == (old.request_id, old.droop)
        and frame.created_at_ms < old.valid_until_ms
    )


def _life(events: Iterable[CommandEvent]) -> Iterable[tuple[CommandEvent, str]]:
    """A command's events in the log's order, each once, only the first end, each with a remark.

    The first end is the command's end (see `CommandEvents`); a later, different end becomes a
    remark on it.
    """
    life: list[CommandEvent] = []
    ends: list[CommandEvent] = []
    for event in events:
        if event.state in FINAL:
            ends.append(event)
        elif event not in life:  # published again after a crash
            life.append(event)
    yield from ((event, "") for event in life)
    if ends:
        others = dict.fromkeys(e.state for e in ends if e.state != ends[0].state)
        later = " and ".join(state.replace("_", " ") for state in others)
        yield ends[0], f" (reported as {later} later)" if later else ""


def _lines_of(
    id_: str,
    command: tuple[CommandFrame, CommandRow] | None,
    states: list[tuple[CommandEvent, str]],
    now_ms: int,
) -> Iterable[tuple[_Place, StoryLine]]:
    """A command's lines, each with its sort key; ``command`` is None if its frame was not read."""
    no_earlier = command[0].created_at_ms if command else 0

    def line(at_ms: int, state: CommandState, said: str) -> tuple[_Place, StoryLine]:
        frame = command[0] if command else None
        return (no_earlier, step_of(state), id_), _story_line(id_, frame, at_ms, state, said)

    if command is not None:
        frame, row = command
        to = f"routed to gateway slot {frame.slot}, connection {row.epoch}"
        yield line(frame.created_at_ms, "created", _command_in_words(frame, row))
        yield line(frame.created_at_ms, "routed", to)
    for event, remark in sorted(states, key=lambda state: step_of(state[0].state)):
        no_earlier = max(no_earlier, event.at_ms)
        yield line(event.at_ms, event.state, _event_in_words(event) + remark)
    if command is not None and not any(event.state in FINAL for event, _ in states):
        frame, row = command
        if frame.valid_until_ms <= now_ms and row.setpoint_w is not None:
            no_earlier = max(no_earlier, frame.valid_until_ms)
            said = "the lease has ended: no device keeps it longer, though nobody reported its end"
            yield line(frame.valid_until_ms, "expired", said)


def _story_line(
    id_: str, frame: CommandFrame | None, at_ms: int, state: CommandState, said: str
) -> StoryLine:
    return StoryLine(
        at_ms=at_ms,
        command_id=id_,
        request_id=frame.request_id if frame else "",
        state=state,
        said=said,
        until_ms=frame.valid_until_ms if frame and state == "created" else None,
    )


def _command_in_words(frame: CommandFrame, row: CommandRow) -> str:
    by = f"request {frame.request_id}" if frame.request_id else "no request"
    if row.setpoint_w is None:
        return f"commanded to end its lease (by {by})"
    wait_s = (frame.not_before_ms - frame.created_at_ms) / 1000
    start = f" in {wait_s:g} s" if wait_s > 0 else ""
    lasts_s = (frame.valid_until_ms - max(frame.not_before_ms, frame.created_at_ms)) / 1000
    droop = ", with droop armed" if frame.droop else ""
    return (
        f"commanded to {power_in_words(row.setpoint_w)}{start} for {lasts_s:g} s{droop},"
        f" reserve {row.soc_min:.0%} (by {by})"
    )


def _event_in_words(event: CommandEvent) -> str:
    by = "" if event.epoch is not None else ", reported by the cloud"
    power = "" if event.power_w is None else f" at {event.power_w:+,.0f} W"
    reason = f": {event.reason}" if event.reason else ""
    return f"{event.state.replace('_', ' ')}{power}{reason}{by}"


def power_in_words(battery_w: float) -> str:
    """Battery power with its direction, for example ``discharge 3,500 W``."""
    if battery_w == 0:
        return "rest at 0 W"
    return f"{'discharge' if battery_w > 0 else 'charge'} {abs(battery_w):,.0f} W"
