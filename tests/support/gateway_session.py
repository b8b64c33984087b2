"""A device's session at the gateway, without sockets or Kafka."""

from collections import Counter
from typing import Any

import msgspec

from schemas import wire
from schemas.assets import Device, Site
from schemas.protocol import (
    Call,
    Error,
    Hello,
    Telemetry,
)
from schemas.telemetry import RawLine
from schemas.wire import decode
from vpp_streams.domain.moments import Now
from vpp_streams.gateway.actions import (
    Action,
    Limits,
    Produce,
    Send,
)
from vpp_streams.gateway.rows import line_of_row
from vpp_streams.gateway.session import Session

DEVICE = Device(device_id="d1", kind="solar")
SITE = Site(site_id="s1", region="north", devices=(DEVICE,))
T0 = 1_763_855_000_000


def at(ms: int) -> Now:
    """Return the moment this many ms after the session opened."""
    return Now(T0 + ms, ms)


def new_session(limits: Limits | None = None) -> Session:
    """Return a session that waits for its Hello."""
    return Session(
        DEVICE,
        SITE,
        3,
        limits or Limits(),
        backfill_delay_ms=(0, 1000),
        counters=Counter(),
        now=at(0),
    )


def live_session(limits: Limits | None = None, next_seq: int = 10) -> Session:
    """Return a session whose Hello was accepted, with epoch 7."""
    session = new_session(limits)
    session.receive(wire.encode_call("h", Hello(boot="b0", next_seq=next_seq)), at(0))
    session.registered(7, at(0))
    return session


def reading(seq: int, boot: str = "b0", **fields: Any) -> bytes:
    """Return an encoded Telemetry message."""
    return wire.encode_send(str(seq), Telemetry(b=boot, s=seq, t=T0, **fields))


def sent(actions: list[Action]) -> list[Any]:
    """Return what the device receives: payloads of calls and sends; results and errors as is."""
    messages = [decode(action.data) for action in actions if isinstance(action, Send)]
    return [m.payload if isinstance(m, Call) else m for m in messages]


def produced(actions: list[Action]) -> list[Produce]:
    """Return what goes to Kafka."""
    return [action for action in actions if isinstance(action, Produce)]


def ndjson_of(produce: Produce) -> bytes:
    """Return the raw lines that it puts into a frame, or the one that its row stands for."""
    if produce.is_row:
        return line_of_row(produce.device_id, produce.readings)
    return produce.readings


def lines_of(produce: Produce) -> list[RawLine]:
    """Return the same, decoded."""
    return msgspec.json.Decoder(RawLine).decode_lines(ndjson_of(produce))


def error_codes(actions: list[Action]) -> list[str]:
    """Return the codes of the errors that the device receives."""
    return [m.code for m in sent(actions) if isinstance(m, Error)]
