"""The commands of one connection: what was sent, what was answered, and what may be told of it.

Sans-I/O, a part of `Session`. A command is told of over the connection that it came over, or over
the next one if its Hello names it, and its id is one that could have been given to the device: an
answer or status of any other command, or of one that has ended, moves nothing. Whether the device
was in fact given it, only the fleet's partition knows, which drops what it never made.
"""

from collections import Counter
from collections.abc import Iterable
from enum import Enum, auto
from typing import NamedTuple

import msgspec

from schemas.commands import FINAL, CommandState, rank_of
from schemas.commands import command_id as command_id_of
from schemas.protocol import (
    MAX_UNTOLD,
    CommandStatus,
    ErrorCode,
    Malformed,
    Result,
    Setpoint,
    SetpointResult,
)
from schemas.wire import decode_result
from vpp_streams.kafka import topics

ANSWER_MS = 5000
"""A device that has not answered a Setpoint by then is told of as ``no answer``."""
CLOCKS_APART_MS = 60_000
"""Most that the clock of the worker that made a command is ahead of ours."""
REMEMBERED = 2 * MAX_UNTOLD
"""Commands whose status may still come: those that Hello named, and as many since."""

_BY_STATUS: dict[str, tuple[CommandState, str]] = {
    "accepted": ("accepted", ""),
    "duplicate": ("accepted", ""),  # it has it: what was lost is only its first answer
    "rejected": ("rejected", ""),
    "expired": ("expired", "it came too late"),
    "superseded": ("superseded", "the device has a newer one"),
    "stale_epoch": ("failed", "stale epoch"),
}


class CommandOutcome(msgspec.Struct, frozen=True, gc=False):
    """What became of a command of this connection's device."""

    command_id: str
    state: CommandState
    reason: str = ""
    power_w: float | None = None


class StatusRefusal(NamedTuple):
    """Why a status is not taken."""

    code: ErrorCode
    detail: str


def may_exist(command_id: str, partition: int, utc_ms: int) -> bool:
    """Whether a device of this partition could have been given a command of this id by now.

    A rank is the time that a command was made at; older ones than the audit trail keeps have no
    end that anybody waits for.
    """
    rank = rank_of(command_id, partition)
    if rank is None or command_id != command_id_of(partition, rank):
        return False
    return utc_ms - topics.COMMANDS.retention_ms <= rank <= utc_ms + CLOCKS_APART_MS


class Unasked(Enum):
    """An answer that moves nothing."""

    LATE = auto()
    """It is to a command that went out, and has been given up or answered."""
    UNKNOWN = auto()
    """It is to nothing that was ever sent."""


class Commands:
    """What this connection knows of its device's commands."""

    __slots__ = ("_counters", "_on_their_way", "_states", "_unanswered")

    def __init__(self, earlier: Iterable[str], counters: Counter[str]) -> None:
        self._counters = counters
        self._unanswered: dict[str, int] = {}
        """Command -> when to give up on its answer, monotonic ms; the oldest first."""
        # Those sent over an earlier connection: their end may be told over this one.
        self._states: dict[str, CommandState] = dict.fromkeys(earlier, "accepted")
        self._on_their_way: set[str] = set()
        """Commands whose state, as a device's status gave it, Kafka does not have yet."""

    def sent(self, command_id: str, setpoint: Setpoint, mono_ms: int) -> CommandOutcome:
        """A Setpoint goes out; one that is sent again is the same command."""
        self._counters["commands_delivered"] += 1
        self._unanswered[command_id] = mono_ms + ANSWER_MS
        return self._note(CommandOutcome(command_id, "delivered", power_w=setpoint.p))

    def answered(self, result: Result) -> CommandOutcome | Unasked:
        """A device's answer to a Setpoint."""
        if self._unanswered.pop(result.id, None) is None:
            return self._unasked(result.id)
        answer = decode_result(result, SetpointResult)
        if isinstance(answer, Malformed):
            return self._note(
                CommandOutcome(result.id, "failed", f"unreadable answer: {answer.detail}")
            )
        state, reason = _BY_STATUS[answer.status]
        if answer.reason == "opted_out" and state == "rejected":
            state = "opted_out"
        return self._note(CommandOutcome(result.id, state, answer.reason or reason))

    def refused(self, command_id: str, code: str, detail: str) -> CommandOutcome | Unasked:
        """A device's error in answer to a Setpoint."""
        if self._unanswered.pop(command_id, None) is None:
            return self._unasked(command_id)
        return self._note(CommandOutcome(command_id, "failed", f"{code}: {detail}"[:120]))

    def status(self, status: CommandStatus) -> CommandOutcome | StatusRefusal | bool:
        """A device tells what a command came to; where that is known, whether Kafka has it."""
        known = self._states.get(status.id)
        if known is None or known == "delivered":
            return StatusRefusal("unknown_command", "no command of that id was taken here")
        if status.state == known:
            return status.id not in self._on_their_way
        if known in FINAL:
            return StatusRefusal("bad_message", f"that command is {known} already")
        self._on_their_way.add(status.id)
        return self._note(CommandOutcome(status.id, status.state, status.reason, status.p))

    def stored(self, told: CommandOutcome) -> None:
        """Kafka has what a status told."""
        if self._states.get(told.command_id) == told.state:
            self._on_their_way.discard(told.command_id)

    def lost(self, told: CommandOutcome) -> None:
        """Kafka did not take it; the device will tell it again."""
        if self._states.get(told.command_id) == told.state:
            self._on_their_way.discard(told.command_id)
            self._states[told.command_id] = "accepted"

    def overdue(self, mono_ms: int) -> list[CommandOutcome]:
        """Commands whose answer did not come in time."""
        late = [id_ for id_, until_ms in self._unanswered.items() if until_ms <= mono_ms]
        return [self._given_up(id_, "no answer") for id_ in late]

    def gone(self) -> list[CommandOutcome]:
        """The connection has ended: what was not answered will not be."""
        return [self._given_up(id_, "disconnected") for id_ in list(self._unanswered)]

    def _unasked(self, command_id: str) -> Unasked:
        self._counters["answers_unasked"] += 1
        return Unasked.LATE if command_id in self._states else Unasked.UNKNOWN

    def _given_up(self, command_id: str, reason: str) -> CommandOutcome:
        del self._unanswered[command_id]
        return self._note(CommandOutcome(command_id, "failed", reason))

    def _note(self, told: CommandOutcome) -> CommandOutcome:
        self._states.pop(told.command_id, None)
        self._states[told.command_id] = told.state
        while len(self._states) > REMEMBERED:
            oldest = next(iter(self._states))
            del self._states[oldest]
            self._on_their_way.discard(oldest)
        return told
