"""Faults of a gateway's software: ours, with one thing wrong in it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from websockets.frames import Frame, Opcode
from websockets.server import ServerProtocol

from schemas.protocol import Ack
from schemas.wire import encode_error, encode_send
from vpp_streams.conformance.gateway_end_scenarios import NEWER, OFFENCES, SILENCE
from vpp_streams.conformance.gateway_scenarios import (
    ACK_PACE,
    BACKFILL,
    DOOR,
    GREETING,
    LIVE,
    REFUSALS,
)
from vpp_streams.conformance.gateway_stage import GatewayScenario
from vpp_streams.domain.moments import Now
from vpp_streams.gateway import connection
from vpp_streams.gateway.actions import Action, Send
from vpp_streams.gateway.admission import AdmissionRefusal
from vpp_streams.gateway.doorkeeper import Doorkeeper
from vpp_streams.gateway.live_acks import LiveAcks
from vpp_streams.gateway.live_readings import LiveReadings
from vpp_streams.gateway.server import Gateway
from vpp_streams.gateway.session import Session

Patch = pytest.MonkeyPatch


@dataclass(frozen=True, slots=True)
class GatewayFault:
    """A gateway with a fault, which ``put_in`` brings about."""

    words: str
    breaks: frozenset[str]
    scenario: GatewayScenario
    put_in: Callable[[Patch], None]


def fault(
    words: str, breaks: str, scenario: GatewayScenario, put_in: Callable[[Patch], None]
) -> GatewayFault:
    """Return a fault that breaks the obligations of these numbers."""
    return GatewayFault(
        words, frozenset(f"G-{number}" for number in breaks.split()), scenario, put_in
    )


def instead(owner: Any, name: str, function: Any) -> Callable[[Patch], None]:
    """Replace an attribute."""
    return lambda patch: patch.setattr(owner, name, function)


def around(owner: Any, name: str, change: Callable[..., Any]) -> Callable[[Patch], None]:
    """Replace a method by ``change(original, self, *its arguments)``."""
    original = getattr(owner, name)
    return instead(owner, name, lambda self, *args, **kw: change(original, self, *args, **kw))


def of_status(right: int, wrong: int) -> Callable[[Patch], None]:
    """Refuse upgrades with another HTTP status."""

    def admit(original: Any, self: Doorkeeper, *args: Any) -> Any:
        answer = original(self, *args)
        is_it = isinstance(answer, AdmissionRefusal) and answer.status == right
        return answer._replace(status=wrong) if is_it else answer

    return around(Doorkeeper, "admit", admit)


def without_error(code: str) -> Callable[[Patch], None]:
    """Say nothing where a message is refused with this code."""

    def refuse(original: Any, self: Session, id_: str, found: str, *rest: Any) -> list[Action]:
        return [] if found == code else original(self, id_, found, *rest)

    return around(Session, "_refuse", refuse)


def acks_ahead(original: Any, self: Session, epoch: int, now: Now) -> list[Action]:
    """Ack readings that have not been sent."""
    actions: list[Action] = original(self, epoch, now)
    first = self.head.seq + 1
    ack = Ack(b=self.head.boot, from_=first, upto=first + 50, t=now.utc_ms)
    return [*actions, Send(encode_send("ahead", ack))]


def over_gaps(self: LiveAcks, seq: int) -> None:
    """Grow the range over numbers that are missing."""
    self._upto = max(self._upto, seq)


def refuses_repeats(_original: Any, self: Session, id_: str, seq: int, now: Now) -> list[Action]:
    """Refuse a reading that was acked."""
    return self._refuse(id_, "seq_not_rising", f"{seq}", now)


def refuses_later_keys(original: Any, self: Session, data: bytes | str, now: Now) -> list[Action]:
    """Refuse what has a key of a later version."""
    if "later" not in str(data):
        return original(self, data, now)
    return [Send(encode_error(str(self.head.seq + 1), "bad_message", "unknown key"))]


def without_pongs(original: Any, self: ServerProtocol, frame: Frame) -> None:
    """Send no pong."""
    if frame.opcode is not Opcode.PONG:
        original(self, frame)


def no_subprotocol(state: Any) -> ServerProtocol:
    """Return the state of a connection that selects no subprotocol."""
    return ServerProtocol(state=state)


def nothing(*_args: Any) -> list[Action]:
    """Do nothing."""
    return []


FAULTS = (
    fault("no subprotocol is selected", "1", DOOR,
          instead(connection, "new_machine", no_subprotocol)),
    fault("another status for no vpp.v1", "2", DOOR, of_status(400, 403)),
    fault("another status for a wrong token", "3", DOOR, of_status(401, 403)),
    fault("another status for an Origin", "4", DOOR, of_status(403, 404)),
    fault("another status for another path", "5", DOOR, of_status(404, 403)),
    fault("no answer to Hello", "6", GREETING, instead(Session, "registered", nothing)),
    fault("one epoch for all", "7", GREETING,
          around(Session, "registered", lambda f, self, _epoch, now: f(self, 5, now))),
    fault("silence before Hello", "8", GREETING, without_error("hello_first")),
    fault("it never acks", "9 11 17", LIVE, instead(LiveReadings, "acks_now", nothing)),
    fault("it acks ahead", "10", LIVE, around(Session, "registered", acks_ahead)),
    fault("it acks over gaps", "10 12", LIVE, instead(LiveAcks, "stored", over_gaps)),
    fault("it refuses repeats", "11", LIVE, around(Session, "_on_seen", refuses_repeats)),
    fault("silence on a number that went back", "12", LIVE, without_error("seq_not_rising")),
    fault("silence on another boot", "13", LIVE, without_error("wrong_boot")),
    fault("no ack of Backfill", "14", BACKFILL, instead(Session, "_on_backfill", nothing)),
    fault("silence on an unknown action", "15", REFUSALS, without_error("unknown_action")),
    fault("silence on a bad message", "16", REFUSALS, without_error("bad_message")),
    fault("it refuses later keys", "17", LIVE, around(Session, "receive", refuses_later_keys)),
    fault("silence on a second Hello", "18", GREETING, without_error("bad_message")),
    fault("silence on an unknown command", "19", REFUSALS, without_error("unknown_command")),
    fault("it accepts long messages", "20", OFFENCES,
          instead(connection, "MAX_MESSAGE_BYTES", 10**6)),
    fault("it accepts what is not UTF-8", "21", OFFENCES,
          instead(connection, "is_utf8", lambda _: True)),
    fault("endless patience", "22", OFFENCES, instead(Session, "_strikes_left", lambda *_: True)),
    fault("two connections of a device", "23", NEWER, instead(Gateway, "_replace_older", nothing)),
    fault("it waits for ever", "24 25", SILENCE, instead(Session, "tick", nothing)),
    fault("no pongs", "26", REFUSALS, around(ServerProtocol, "send_frame", without_pongs)),
    fault("an Ack for each reading", "27", ACK_PACE,
          around(LiveReadings, "acks_if_due", lambda _, self, now, **_kw: self.acks_now(now))),
)  # fmt: skip
