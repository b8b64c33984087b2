"""Why a home's battery does what it does now, in a plain sentence.

The first reason that applies is the one: what the home cannot help, then what was announced, what
the owner decided, what was ordered, and last what the battery does by itself.
"""

from collections.abc import Iterator
from typing import Literal

import msgspec

from schemas.grid import Alert
from schemas.preferences import Preferences

ReasonKind = Literal[
    "not_heard", "not_active", "islanded", "storm", "left", "paused", "skipped", "ordered",
    "at_reserve", "alone",
]  # fmt: skip
FRESH_S = 60.0
"""A home that has not reported for longer is not known to do anything."""
REST_W = 50.0
"""Below this power a battery rests."""
NEAR_RESERVE = 0.005
FOREVER_MS = 10**15


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """The newest command of the home's battery that holds."""

    request_id: str
    setpoint_w: float
    """Battery power, + = discharge."""
    until_ms: int
    """When the request ends; the lease ends sooner and is renewed."""
    source: str
    """Origin of the request; empty = not known."""


class HomeNow(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a home at one moment."""

    now_ms: int
    active: bool
    """Whether the site takes part at all (see `SiteState`)."""
    heard_ago_s: float | None
    """Age of its newest reading; None = never received."""
    islanded: bool
    battery_w: float | None
    soc: float | None
    reserve: float
    storm: Alert | None
    """The storm that its battery is kept for now."""
    order: Order | None
    skipped: str
    """The request of the region that the owner skips now; empty = none."""
    preferences: Preferences | None


class Reason(msgspec.Struct, frozen=True, kw_only=True):
    """A reason with its sentence, which names no time: the page adds it in local time."""

    kind: ReasonKind
    said: str
    until_ms: int | None = None
    """When it ends; null = not known, or it has no end."""


def reason_of(home: HomeNow) -> Reason:
    """Why the battery does what it does now."""
    return next(_reasons(home))


def _reasons(home: HomeNow) -> Iterator[Reason]:
    if home.heard_ago_s is None or home.heard_ago_s > FRESH_S:
        said = "Your home does not report, so it is not known what the battery does."
        yield Reason(kind="not_heard", said=said)
    if home.islanded:
        yield Reason(kind="islanded", said="The grid is away: the battery supplies your home.")
    if not home.active:
        said = "Your home does not take part yet: the battery works for your home alone."
        yield Reason(kind="not_active", said=said)
    if home.storm is not None:
        said = "A storm is announced: the battery is filled and kept for your home."
        yield Reason(kind="storm", said=said, until_ms=home.storm.ends_at_ms)
    yield from _of_owner(home)
    if home.order is not None and not _kept_at_rest(home, home.order):
        yield Reason(kind="ordered", said=_ordered(home.order), until_ms=home.order.until_ms)
    yield _alone(home)


def _kept_at_rest(home: HomeNow, order: Order) -> bool:
    """Whether the reserve, and no request, is why the battery rests."""
    at_rest = abs(order.setpoint_w) <= REST_W
    return at_rest and home.soc is not None and home.soc <= home.reserve + NEAR_RESERVE


def _of_owner(home: HomeNow) -> Iterator[Reason]:
    chosen = home.preferences
    if chosen is not None and chosen.left:
        said = "You have left: the battery works for your home alone."
        yield Reason(kind="left", said=said)
    if chosen is not None and chosen.paused_until_ms > home.now_ms:
        said = "You have paused: the battery works for your home alone."
        yield Reason(kind="paused", said=said, until_ms=chosen.paused_until_ms)
    if home.skipped:
        said = "You skip this event: the battery works for your home alone."
        yield Reason(kind="skipped", said=said)


def _ordered(order: Order) -> str:
    who = {"market": "agreed with the market", "operator": "the operator requested"}.get(
        order.source.partition(":")[0], "requested"
    )
    kw = f"{abs(order.setpoint_w) / 1000:.1f} kW"
    if order.setpoint_w > REST_W:
        return f"The battery gives {kw}, as {who}."
    if order.setpoint_w < -REST_W:
        return f"The battery charges with {kw}, as {who}."
    return f"The battery rests, as {who}."


def _alone(home: HomeNow) -> Reason:
    idle = home.battery_w is None or abs(home.battery_w) <= REST_W
    if home.soc is not None and home.soc <= home.reserve + NEAR_RESERVE and idle:
        said = f"The battery is at your reserve of {home.reserve:.0%} and gives nothing more."
        return Reason(kind="at_reserve", said=said)
    if home.battery_w is None:
        return Reason(kind="alone", said="The battery's power is not measured.")
    if home.battery_w > REST_W:
        said = "Nothing is requested: the battery supplies your home."
    elif home.battery_w < -REST_W:
        said = "Nothing is requested: the battery charges for your home."
    else:
        said = "Nothing is requested: the battery rests."
    return Reason(kind="alone", said=said)
