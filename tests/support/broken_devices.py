"""Faults of a device's software: the agent of a home, with one thing wrong in it.

Each fault has the obligations that it breaks, and the scenario that shows it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from edge import agent, client, session
from edge.client import Client
from edge.clock import utc_ms
from edge.drivers.simulated import Options
from edge.durable_ring import DurableRing
from edge.leases import Leases
from edge.reports import Reports
from edge.session import Device, Step
from schemas.bodies import NativeBody
from schemas.protocol import BackfillPace, Call, CommandStatus, Hello, Setpoint, SetpointResult
from schemas.wire import decode, encode_call, encode_result
from tests.support.conformance import HOME
from vpp_streams.conformance.adverse_scenarios import ALONE, CLOCK, LIMITS
from vpp_streams.conformance.command_scenarios import LEASE, SUCCESSION
from vpp_streams.conformance.end_scenarios import DRAIN, REPLACED, SHUNNED, SOON
from vpp_streams.conformance.reading_scenarios import BOOT_USED, OUTAGE, PACE, STRANGERS
from vpp_streams.conformance.stage import Scenario

Patch = pytest.MonkeyPatch
DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Fault:
    """A device with a fault: ``put_in`` changes the agent, ``home`` is its hardware."""

    words: str
    breaks: frozenset[str]
    scenario: Scenario
    put_in: Callable[[Patch], None]
    home: Options = HOME


def fault(words: str, breaks: str, scenario: Scenario, put_in: Callable[[Patch], None],
          **rest: Any) -> Fault:  # fmt: skip
    """Return a fault that breaks the obligations of these numbers."""
    return Fault(words, frozenset(f"D-{n}" for n in breaks.split()), scenario, put_in, **rest)


def instead(owner: Any, name: str, function: Any) -> Callable[[Patch], None]:
    """Replace an attribute."""
    return lambda patch: patch.setattr(owner, name, function)


def around(owner: Any, name: str, change: Callable[..., Any]) -> Callable[[Patch], None]:
    """Replace a method by ``change(original, self, *its arguments)``."""
    original = getattr(owner, name)
    return instead(owner, name, lambda self, *args, **kw: change(original, self, *args, **kw))


def of_setpoints(change: Callable[[Setpoint, int], Setpoint]) -> Callable[[Patch], None]:
    """Misread every Setpoint; ``change`` is given it and the gateway's time."""

    def misread(original: Any, self: Device, id_: str, setpoint: Setpoint, now_ms: int) -> Any:
        at_ms = self.gateway_ms(now_ms) or 0
        return original(self, id_, change(setpoint, at_ms), now_ms)

    return around(Device, "_on_setpoint", misread)


def of_bodies(**changes: Callable[[NativeBody], Any]) -> Callable[[Patch], None]:
    """Measure wrongly."""

    def measured(original: Any, self: Device, body: NativeBody, *rest: Any) -> Any:
        values = {key: change(body) for key, change in changes.items()}
        return original(self, msgspec.structs.replace(body, **values), *rest)

    return around(Device, "measured", measured)


def of_hellos(change: Callable[[Hello], list[bytes]]) -> Callable[[Patch], None]:
    """Send something else than the right Hello."""

    def connected(original: Any, self: Device, at_ms: int) -> Step:
        call = decode(original(self, at_ms).send[0])
        assert isinstance(call, Call)
        assert isinstance(call.payload, Hello)
        return Step(change(call.payload))

    return around(Device, "connected", connected)


def of_answers(status: str) -> Callable[[Patch], None]:
    """Accept in words what is refused with this status."""

    def offer(original: Any, self: Leases, *args: Any) -> SetpointResult:
        answer = original(self, *args)
        return SetpointResult("accepted") if answer.status == status else answer

    return around(Leases, "offer", offer)


def of_waits(code: int, wait_ms: float | None) -> Callable[[Patch], None]:
    """Wait this long after a close code."""

    def disconnected(original: Any, self: Device, close_code: int | None = None) -> Any:
        found = original(self, close_code)
        return wait_ms if close_code == code else found

    return around(Device, "disconnected", disconnected)


def hello_bytes(hello: Hello) -> bytes:
    """Return a Hello as an agent sends it."""
    return encode_call("hello", hello)


def early_status(hello: Hello) -> list[bytes]:
    """Return Hello and, without waiting for its answer, another message."""
    return [hello_bytes(hello), encode_call("early", CommandStatus("c0-1", "completed", 1))]


def all_at_once(original: Any, self: Device, *args: Any) -> Step:
    """Take the gateway's answer, but not its pace."""
    step: Step = original(self, *args)
    self._pace = BackfillPace((0, 0), 1000)
    return step


def ends_at_reboot(original: Any, self: Device, data: bytes | str, now_ms: int) -> Step:
    """End the connection at an unknown action."""
    return Step(close=True) if "Reboot" in str(data) else original(self, data, now_ms)


def without_end(lease: Setpoint, at_ms: int) -> Setpoint:
    """Return a lease that holds for a day longer, unless it has ended."""
    longer_ms = DAY_MS if lease.valid_until > at_ms else 0
    return lax(lease, valid_until=lease.valid_until + longer_ms)


def ignores_release(original: Any, self: Device, id_: str, lease: Setpoint, now_ms: int) -> Step:
    """Accept a release, and go on."""
    if lease.p is None:
        return Step([encode_result(id_, SetpointResult("accepted"))])
    return original(self, id_, lease, now_ms)


def with_origin(original: Any, self: Client, *args: Any, **kw: Any) -> None:
    """Connect as a browser does."""
    original(self, *args, **kw)
    self._headers["Origin"] = "https://example.org"


def no_change(_patch: Patch) -> None:
    """Leave the agent as it is: the hardware is at fault."""


lax = msgspec.structs.replace
STRONG = Options(solar_w=0.0, load_w=500.0, charge_w=20_000, discharge_w=20_000)

FAULTS = (
    fault("another subprotocol", "1", PACE, instead(client, "SUBPROTOCOL", "vpp.v0")),
    fault("an Origin", "2", PACE, around(Client, "__init__", with_origin)),
    fault("Hello without a reply", "3 4 5", PACE,
          of_hellos(lambda h: [hello_bytes(h).replace(b"[2,", b"[6,", 1)])),
    fault("a status before Hello is answered", "4", PACE, of_hellos(early_status)),
    fault("a message that fits no schema", "5 8", PACE,
          instead(Device, "_telemetry", lambda *_: b'[6,"1","Telemetry",{"b":"zz"}]')),
    fault("it ends at an unknown action", "6", STRANGERS,
          around(Device, "received", ends_at_reboot)),
    fault("each number twice", "7 9", PACE,
          around(Device, "_telemetry", lambda f, self, seq, *a: f(self, seq - seq % 2, *a))),
    fault("one reading only", "8", PACE,
          around(Client, "wants_reading", lambda f, self: self.device.ring.next_seq < 1)),
    fault("next_seq from the start", "10", STRANGERS,
          of_hellos(lambda h: [hello_bytes(lax(h, next_seq=0, oldest_seq=0))])),
    fault("a state of charge in percent", "11", PACE, of_bodies(soc=lambda b: 100 * b.soc)),
    fault("a load that is no sum", "12", PACE, of_bodies(l=lambda b: b.l + 3000)),
    fault("a clock a day ahead", "13", PACE,
          instead(agent, "utc_ms", lambda: utc_ms() + DAY_MS)),
    fault("it forgets what was not acked", "14 16", OUTAGE,
          instead(Device, "_backfill", lambda *_: None)),
    fault("it keeps what was acked", "15", OUTAGE, instead(Device, "_on_ack", lambda *_: Step())),
    fault("it sends again what was refused for good", "17", OUTAGE,
          instead(session, "PERMANENT", frozenset())),
    fault("all Backfill at once", "18", OUTAGE,
          around(Device, "_on_hello_result", all_at_once)),
    fault("it keeps a used boot id", "19", BOOT_USED,
          instead(DurableRing, "renew", lambda *_: None)),
    fault("no answer to commands", "20 21", LEASE,
          instead(Device, "_on_setpoint", lambda *_: Step())),
    fault("another power than commanded", "21", LEASE, of_setpoints(lambda s, _: lax(s, p=0.0))),
    fault("it accepts what it cannot do", "22", LEASE, instead(Leases, "_objection", lambda *_: ""),
          home=Options(can_set_power=False)),
    fault("it ignores the end of a lease", "23", LEASE,
          of_setpoints(without_end)),
    fault("a repeat is accepted", "24", LEASE, of_answers("duplicate")),
    fault("a lower rank is accepted", "25", LEASE, of_answers("superseded")),
    fault("another epoch is accepted", "26", LEASE, of_answers("stale_epoch")),
    fault("what has ended is accepted", "27", LEASE, of_answers("expired")),
    fault("it ignores a release", "28", SUCCESSION,
          around(Device, "_on_setpoint", ignores_release)),
    fault("it begins too soon", "29", SUCCESSION, of_setpoints(lambda s, _: lax(s, not_before=0))),
    fault("it jumps", "30", LEASE, of_setpoints(lambda s, _: lax(s, ramp_w_s=1e9))),
    fault("more than its rating", "31", LIMITS, no_change, home=STRONG),
    fault("it discharges below soc_min", "32", LIMITS,
          of_setpoints(lambda s, _: lax(s, soc_min=0.0))),
    fault("untold is empty", "33", ALONE, instead(Reports, "command_ids", lambda _: ())),
    fault("leases by its own clock", "34", CLOCK,
          instead(Device, "gateway_ms", lambda *_: utc_ms())),
    fault("it connects once", "35", OUTAGE, of_waits(1006, None)),
    fault("it ignores a Drain", "36", DRAIN, instead(Device, "_on_drain", lambda *_: Step())),
    fault("slow after 1012", "37", SOON, of_waits(1012, 5000.0)),
    fault("at once after 1008", "38", SHUNNED, of_waits(1008, 0.0)),
    fault("again after 4001", "39", REPLACED, of_waits(4001, 50.0)),
)  # fmt: skip
