"""What holds on every connection of a device: judged on the complete transcript of a check."""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

from schemas.bodies import NativeBody
from schemas.protocol import (
    MAX_MESSAGE_BYTES,
    SUBPROTOCOL,
    Backfill,
    Call,
    CommandStatus,
    Error,
    Hello,
    HelloResult,
    Malformed,
    Message,
    Result,
    Telemetry,
    UncheckedTelemetry,
    VendorTelemetry,
)
from schemas.wire import decode_result
from vpp_streams.conformance.transcript import (
    Event,
    Opened,
    Reading,
    Received,
    Sent,
    hellos,
    readings,
)
from vpp_streams.conformance.verdicts import Verdict, judged, not_tried

HELLO_WITHIN_MS = 10_000
CLOCK_WITHIN_MS = 300_000
_BALANCE_SHARE, _BALANCE_W = 0.1, 100.0
_ALWAYS = ("D-1", "D-2", "D-3", "D-4", "D-5", "D-7", "D-9", "D-10", "D-11", "D-12", "D-13")


def judge_always(events: Sequence[Event], device_path: str, utc_ahead_ms: int) -> list[Verdict]:
    """Verdicts on what has to hold at any time; ``device_path`` is of the first upgrade."""
    if not any(isinstance(event, Opened) for event in events):
        return not_tried(_ALWAYS, "no device connected")
    return [
        _judge_paths(events, device_path),
        _judge_credentials(events),
        *_judge_hellos(events),
        _first_objection(
            "D-5", events, _bad_message, "messages of vpp.v1, as text, at most 16 KiB"
        ),
        *(_judge_numbers(events) if readings(events) else not_tried(_ALWAYS[5:], "no reading")),
        *(_judge_values(events, utc_ahead_ms) if readings(events) else ()),
    ]


def _judge_paths(events: Sequence[Event], device_path: str) -> Verdict:
    wrong = [
        f"{event.path}, Sec-WebSocket-Protocol: {offered or 'none'}"
        for event in events
        if isinstance(event, Opened)
        for offered in [event.headers.get("sec-websocket-protocol", "")]
        if event.path != device_path
        or SUBPROTOCOL not in [name.strip() for name in offered.split(",")]
    ]
    expected = f"{device_path} with Sec-WebSocket-Protocol: {SUBPROTOCOL}"
    return judged("D-1", not wrong and device_path.startswith("/v1/"), expected, (wrong or [""])[0])


def _judge_credentials(events: Sequence[Event]) -> Verdict:
    upgrades = [event for event in events if isinstance(event, Opened)]
    if any("origin" in event.headers for event in upgrades):
        return judged("D-2", False, "no Origin", "an upgrade with the header Origin")
    without = [
        event
        for event in upgrades
        if not event.headers.get("authorization", "").lower().startswith("bearer ")
        and "client-certificate" not in event.headers
    ]
    if without and not upgrades[0].headers.get("authorization"):
        (verdict,) = not_tried(["D-2"], "no token was sent: it may have a certificate instead")
        return verdict
    return judged("D-2", not without, "Authorization: Bearer <token>", "an upgrade without it")


def _judge_hellos(events: Sequence[Event]) -> Iterator[Verdict]:
    opened = {event.link: event.at_ms for event in events if isinstance(event, Opened)}
    firsts: dict[int, Received] = {}
    for event in events:
        if isinstance(event, Received):
            firsts.setdefault(event.link, event)
    if not firsts:
        yield from not_tried(["D-3", "D-4"], "no message was received")
        return
    wrong = [_words(each.message) for each in firsts.values() if not _is_hello(each.message)]
    late = [f"{ms} ms" for ms in (e.at_ms - opened[e.link] for e in firsts.values())
            if ms > HELLO_WITHIN_MS]  # fmt: skip
    yield judged("D-3", not wrong and not late, "Hello within 10 s", (wrong + late or [""])[0])
    answered = {
        event.link: event.at_ms
        for event in events
        if isinstance(event, Sent)
        and isinstance(event.message, Result)
        and not isinstance(decode_result(event.message, HelloResult), Malformed)
    }
    early = [
        _words(event.message)
        for event in events
        if isinstance(event, Received)
        and not _is_hello(event.message)
        and event.at_ms < answered.get(event.link, event.at_ms + 1)
    ]
    yield judged("D-4", not early, "silence until the answer", (early or [""])[0])


def _judge_numbers(events: Sequence[Event]) -> Iterator[Verdict]:
    greeted, all_readings = dict(hellos(events)), readings(events)
    back = []
    for link, hello in greeted.items():
        live = [r for r in all_readings if r.live and r.link == link]
        seqs = [hello.next_seq - 1, *(r.seq for r in live)]
        back += [f"{b} after {a}" for a, b in pairwise(seqs) if b <= a]
        back += [f"boot {r.boot} after Hello's {hello.boot}" for r in live if r.boot != hello.boot]
    yield judged("D-7", not back, "rising numbers of Hello's boot", (back or [""])[0])
    times: dict[tuple[str, int], int | None] = {}
    other = [
        f"boot {r.boot}, number {r.seq}: t {times[r.boot, r.seq]} and {r.t}"
        for r in all_readings
        if r.t is not None and times.setdefault((r.boot, r.seq), r.t) != r.t
    ]
    yield judged("D-9", not other, "one t for one name", (other or [""])[0])
    lowered = []
    for link, hello in greeted.items():
        used = [r.seq for r in all_readings if r.boot == hello.boot and r.link < link]
        if used and hello.next_seq <= max(used):
            lowered.append(f"next_seq {hello.next_seq} after number {max(used)}")
    yield judged("D-10", not lowered, "next_seq above all used numbers", (lowered or [""])[0])


def _judge_values(events: Sequence[Event], utc_ahead_ms: int) -> Iterator[Verdict]:
    every = readings(events)
    yield _first_objection("D-11", every, _bad_values, "values within their limits")
    if any(_balance(reading) is not None for reading in every):
        words = "l = g + p + pv, within 10 % or 100 W"
        yield _first_objection("D-12", every, _bad_balance, words)
    else:
        yield from not_tried(["D-12"], "no reading has all of l, g, p and pv")

    def bad_clock(reading: Reading) -> str | None:
        if not reading.live or reading.t is None:
            return None
        off_ms = reading.t - (reading.at_ms + utc_ahead_ms)
        return f"{off_ms} ms ahead" if abs(off_ms) > CLOCK_WITHIN_MS else None

    yield _first_objection("D-13", every, bad_clock, "UTC within 300,000 ms")


def _first_objection(
    id_: str, things: Sequence[object], objection: Callable[..., str | None], expected: str
) -> Verdict:
    found = next((words for thing in things if (words := objection(thing))), None)
    return judged(id_, found is None, expected, found or "")


def _bad_message(event: Event) -> str | None:
    if not isinstance(event, Received):
        return None
    if not event.is_text:
        return "a binary message"
    if event.size_bytes > MAX_MESSAGE_BYTES:
        return f"a message of {event.size_bytes} bytes"
    match event.message:
        case Malformed(_, _, detail):
            return detail
        case Call(_, UncheckedTelemetry(detail=detail)):
            return f"Telemetry: {detail}"
        case Call(_, Hello() | CommandStatus(), True) | Result() | Error():
            return None
        case Call(_, Telemetry() | VendorTelemetry() | Backfill(), False):
            return None
    return f"{_words(event.message)}, which a device does not send so"


def _bad_values(reading: Reading) -> str | None:
    body = reading.body
    if body is None:
        return None if reading.live else f"number {reading.seq}: a row that does not fit"
    if body.soc is not None and not 0 <= body.soc <= 1:
        return f"number {reading.seq}: soc {body.soc}"
    negative = [key for key in ("pv", "l") if (getattr(body, key) or 0.0) < 0]
    return f"number {reading.seq}: {negative[0]} is negative" if negative else None


def _balance(reading: Reading) -> tuple[float, float] | None:
    """(load, the sum of the others), W; None = not all are measured."""
    body: NativeBody | None = reading.body
    if body is None or None in (body.l, body.g, body.p, body.pv):
        return None
    return body.l or 0.0, (body.g or 0.0) + (body.p or 0.0) + (body.pv or 0.0)


def _bad_balance(reading: Reading) -> str | None:
    if (pair := _balance(reading)) is None:
        return None
    load_w, sum_w = pair
    apart_w = abs(load_w - sum_w)
    if apart_w <= max(_BALANCE_W, _BALANCE_SHARE * abs(load_w)):
        return None
    return f"number {reading.seq}: l {load_w} W, g + p + pv {sum_w} W"


def _is_hello(message: Message) -> bool:
    return isinstance(message, Call) and isinstance(message.payload, Hello) and message.reply


def _words(message: Message) -> str:
    if isinstance(message, Call):
        return type(message.payload).__name__
    return f"{type(message).__name__} {message.id}"
