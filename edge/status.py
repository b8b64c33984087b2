"""What an agent is doing, as values for the local page, ``/state.json`` and Prometheus."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from edge.agent import MEASURED_FOR_MS, Agent
from edge.clock import monotonic_ms, utc_ms
from edge.commissioning.judge import CLOCK_MS
from edge.driver import Reading


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """An agent at one moment."""

    device_id: str
    url: str
    connected: bool
    login: str
    """How it shows who it is, in words."""
    battery: str
    """What the battery does and why, in words."""
    reserve: float
    """The owner's reserve, 0..1."""
    readings: tuple[Reading, ...]
    """The newest measurements."""
    age_s: float | None
    """Their age; None = nothing was measured yet."""
    kept: int
    dropped: int
    on_disk: bool
    troubles: tuple[str, ...]
    """Each in one sentence."""


def status_of(agent: Agent) -> Status:
    """The agent now."""
    measured_ms = agent.measured_ms
    return Status(
        device_id=agent.setup.device_id,
        url=agent.setup.url,
        connected=agent.client is not None and agent.client.live,
        login=_login(agent),
        battery=_battery(agent),
        reserve=agent.setup.backup_reserve,
        readings=agent.readings,
        age_s=None if measured_ms is None else (monotonic_ms() - measured_ms) / 1000,
        kept=len(agent.ring),
        dropped=agent.ring.dropped,
        on_disk=agent.ring.on_disk,
        troubles=tuple(_troubles(agent)),
    )


def _login(agent: Agent) -> str:
    ends_ms = agent.setup.login.ends_ms
    if ends_ms is None:
        return "by token"
    days = (ends_ms - utc_ms()) / 86_400_000
    when = datetime.fromtimestamp(ends_ms / 1000).astimezone().strftime("%Y-%m-%d %H:%M %Z")
    return f"by certificate, which ends on {when} ({days:.0f} days)"


def _battery(agent: Agent) -> str:
    held, home = agent.inverter.held, agent.home
    if home is None:
        return "not known: the inverter has not answered yet"
    if home.leases.of(0).measures_only:
        return "in the inverter's own mode: it is measured only, and takes no commands"
    if held is None:
        return "in the inverter's own mode (self-consumption): nobody commands it"
    power = power_words(held.power_w)
    lease = home.leases.held[0]
    if lease["stands"]:
        until = datetime.fromtimestamp(int(lease["valid_until_ms"]) / 1000).astimezone()
        return f"{power}: a command of the power station, until {until:%H:%M:%S}"
    if home.leases.falling[0]:
        return f"{power}: it returns from a command of the power station, at its ramp"
    if home.follows_plan:
        return f"{power}: by the home's own plan, from the tariff or the market's prices"
    return f"{power}: it is kept at the owner's reserve"


def _troubles(agent: Agent) -> Iterator[str]:
    setup, client = agent.setup, agent.client
    if setup.login.trouble:
        yield f"Identity: {setup.login.trouble}."
    if agent.link_trouble and (client is None or not client.live):
        yield (
            f"No connection to the power station ({agent.link_trouble}). Readings are kept, and it"
            " tries again by itself."
        )
    if agent.calls.trouble:
        yield f"The inverter: {agent.calls.trouble}."
    measured_ms = agent.measured_ms
    if measured_ms is not None and monotonic_ms() - measured_ms > MEASURED_FOR_MS:
        yield "Nothing was measured for 10 s: the battery is not commanded."
    if not agent.ring.on_disk:
        yield "The disk fails or is full: readings are kept in memory, and are lost with the power."
    if agent.ring.dropped:
        yield f"{agent.ring.dropped:,} readings were dropped: the storage was full."
    if client is not None and client.live:
        ahead_ms = utc_ms() - client.gateway_ms()
        if abs(ahead_ms) > CLOCK_MS:
            yield (
                f"This computer's clock is {abs(ahead_ms) / 1000:.0f} s"
                f" {'ahead' if ahead_ms > 0 else 'behind'}: switch on time synchronisation."
            )


def power_words(power_w: float) -> str:
    """A battery power, + = discharge, in words."""
    if abs(power_w) < 0.5:
        return "holds 0 W"
    return f"{'discharges' if power_w > 0 else 'charges'} {abs(power_w):,.0f} W"
