"""The commands of one connection: sent, answered, and their outcomes.

Sans-I/O, a part of `Session`. The outcome of a command is reported over the connection that
delivered it, or over the next one if its Hello names the command. The id must be one that the
device could have received: an answer or status for any other command, or for one that has ended,
has no effect. Only the fleet's partition knows whether it really issued the command; it drops
outcomes of commands that it never issued.
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
"""Time to answer a Setpoint; after it, the outcome is published as failed, ``no answer``."""
CLOCKS_APART_MS = 60_000
"""Most that the clock of the worker that made a command is ahead of ours."""
REMEMBERED = 2 * MAX_UNTOLD
"""Commands whose status may still arrive: those that Hello named, and as many since."""

_BY_STATUS: dict[str, tuple[CommandState, str]] = {
    "accepted": ("accepted", ""),
    "duplicate": ("accepted", ""),  # it has it: what was lost is only its first answer
    "rejected": ("rejected", ""),
    "expired": ("expired", "it arrived too late"),
    "superseded": ("superseded", "the device has a newer one"),
    "stale_epoch": ("failed", "stale epoch"),
}


class CommandOutcome(msgspec.Struct, frozen=True, gc=False):
    """The outcome of a command, or a step towards it."""

    command_id: str
    state: CommandState
    reason: str = ""
    power_w: float | None = None


class StatusRefusal(NamedTuple):
    """Why a status is refused."""

    code: ErrorCode
    detail: str


def may_exist(command_id: str, partition: int, utc_ms: int) -> bool:
    """Whether a device of this partition could have received a command of this id by now.

    A rank is the time at which a command was issued. Nobody waits for the outcome of commands that
    are older than the audit trail.
    """
    rank = rank_of(command_id, partition)
    if rank is None or command_id != command_id_of(partition, rank):
        return False
    return utc_ms - topics.COMMANDS.retention_ms <= rank <= utc_ms + CLOCKS_APART_MS


class UnexpectedAnswer(Enum):
    """An answer without effect, because nothing waits for it."""

    LATE = auto()
    """It answers a command that was sent, and was answered or given up before."""
    UNKNOWN = auto()
    """It answers nothing that was ever sent."""


class Commands:
    """The state of each command that this connection knows of."""

    __slots__ = ("_counters", "_in_flight", "_states", "_unanswered")

    def __init__(self, earlier: Iterable[str], counters: Counter[str]) -> None:
        self._counters = counters
        self._unanswered: dict[str, int] = {}
        """Command -> when to give up on its answer, monotonic ms; the oldest first."""
        # Sent over an earlier connection; their outcome may arrive over this one.
        self._states: dict[str, CommandState] = dict.fromkeys(earlier, "accepted")
        self._in_flight: set[str] = set()
        """Commands whose state, as reported by the device, Kafka does not have yet."""

    def sent(self, command_id: str, setpoint: Setpoint, mono_ms: int) -> CommandOutcome:
        """Record that a Setpoint is sent; sending it again does not make it another command."""
        self._counters["commands_delivered"] += 1
        self._unanswered[command_id] = mono_ms + ANSWER_MS
        return self._record(CommandOutcome(command_id, "delivered", power_w=setpoint.p))

    def answered(self, result: Result) -> CommandOutcome | UnexpectedAnswer:
        """A device's answer to a Setpoint."""
        if self._unanswered.pop(result.id, None) is None:
            return self._unexpected(result.id)
        answer = decode_result(result, SetpointResult)
        if isinstance(answer, Malformed):
            return self._record(
                CommandOutcome(result.id, "failed", f"unreadable answer: {answer.detail}")
            )
        state, reason = _BY_STATUS[answer.status]
        if answer.reason == "opted_out" and state == "rejected":
            state = "opted_out"
        return self._record(CommandOutcome(result.id, state, answer.reason or reason))

    def refused(self, command_id: str, code: str, detail: str) -> CommandOutcome | UnexpectedAnswer:
        """A device's error in answer to a Setpoint."""
        if self._unanswered.pop(command_id, None) is None:
            return self._unexpected(command_id)
        return self._record(CommandOutcome(command_id, "failed", f"{code}: {detail}"[:120]))

    def status(self, status: CommandStatus) -> CommandOutcome | StatusRefusal | bool:
        """The outcome that a device reports; where it is known already, whether Kafka has it."""
        known = self._states.get(status.id)
        if known is None or known == "delivered":
            return StatusRefusal("unknown_command", "this device has no command of that id")
        if status.state == known:
            return status.id not in self._in_flight
        if known in FINAL:
            return StatusRefusal("bad_message", f"that command is {known} already")
        self._in_flight.add(status.id)
        return self._record(CommandOutcome(status.id, status.state, status.reason, status.p))

    def stored(self, outcome: CommandOutcome) -> None:
        """Kafka has the outcome that a status reported."""
        if self._states.get(outcome.command_id) == outcome.state:
            self._in_flight.discard(outcome.command_id)

    def lost(self, outcome: CommandOutcome) -> None:
        """Kafka did not take it; the device will report it again."""
        if self._states.get(outcome.command_id) == outcome.state:
            self._in_flight.discard(outcome.command_id)
            self._states[outcome.command_id] = "accepted"

    def overdue(self, mono_ms: int) -> list[CommandOutcome]:
        """Outcomes of the commands whose answer did not arrive in time."""
        late = [id_ for id_, until_ms in self._unanswered.items() if until_ms <= mono_ms]
        return [self._give_up(id_, "no answer") for id_ in late]

    def ended(self) -> list[CommandOutcome]:
        """Outcomes of the commands without an answer, at the end of the connection."""
        return [self._give_up(id_, "disconnected") for id_ in list(self._unanswered)]

    def _unexpected(self, command_id: str) -> UnexpectedAnswer:
        self._counters["answers_unasked"] += 1
        return UnexpectedAnswer.LATE if command_id in self._states else UnexpectedAnswer.UNKNOWN

    def _give_up(self, command_id: str, reason: str) -> CommandOutcome:
        del self._unanswered[command_id]
        return self._record(CommandOutcome(command_id, "failed", reason))

    def _record(self, outcome: CommandOutcome) -> CommandOutcome:
        states, id_ = self._states, outcome.command_id
        states.pop(id_, None)  # what is said of it last is kept longest
        states[id_] = outcome.state
        while len(states) > REMEMBERED:
            oldest = next(iter(states))
            del states[oldest]
            self._in_flight.discard(oldest)
        return outcome
