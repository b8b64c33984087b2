"""The life of a command as the cloud sees it: states, what an event makes of them, when to renew.

A device holds at most one lease. The cloud knows of it what the device last answered: its
newest command may be on the way while an older one still acts.
"""

from dataclasses import dataclass
from typing import Literal, get_args

from schemas.commands import CommandEvent, CommandState
from schemas.dispatch import Cause
from vpp_streams.domain.moments import HOUR_MS

State = Literal["none", CommandState]
NAMES: tuple[str, ...] = ("none", *get_args(CommandState))
CODE = {name: code for code, name in enumerate(NAMES)}
NONE, CREATED, DELIVERED = CODE["none"], CODE["created"], CODE["delivered"]
ACCEPTED, APPLIED = CODE["accepted"], CODE["applied"]
UNANSWERED = (CREATED, DELIVERED)
STANDING = (ACCEPTED, APPLIED)

CAUSES: tuple[Cause, ...] = get_args(Cause)
CAUSE = {name: code for code, name in enumerate(CAUSES)}


@dataclass(frozen=True, slots=True)
class LeasePolicy:
    """How long things last, ms, and how near is near enough."""

    lease_ms: int = 30_000
    """A device that hears nothing more falls back after this long at most."""
    renew_ms: int = 15_000
    """A lease is renewed when less than this is left of it."""
    again_ms: int = 6_000
    """Nobody answered for a device for this long (its gateway would say sooner that it does
    not): it is not asked for as long again."""
    refused_ms: int = 300_000
    """A device that refused is not asked again for this long,"""
    opted_out_ms: int = HOUR_MS
    """one whose owner opted out for this long,"""
    trouble_ms: int = 30_000
    """and one that did not answer, or failed, for this long."""
    settle_ms: int = 4_000
    """After this long a device should do what it was asked,"""
    off_ms: int = 3_000
    """and is taken at what it does if it is off for this long,"""
    bound_ms: int = 60_000
    """for this long."""
    off_share: float = 0.05
    off_w: float = 100.0
    """Off is further from the setpoint than both this share of it and this many watts."""
    keep_share: float = 0.004
    """Setpoints are left as they are while their sum is within this share of what is asked."""
    silent_after_ms: int = 10_000


def bar_of(event: CommandEvent, policy: LeasePolicy) -> tuple[Cause, int] | None:
    """Why, and for how many ms, a device is not asked again after this event; None = it may be."""
    match event.state:
        case "opted_out":
            return "opted_out", policy.opted_out_ms
        case "rejected" | "failed" if event.reason == "islanded":
            return "islanded", policy.trouble_ms
        case "rejected":
            return "refused", policy.refused_ms
        case "failed" if event.reason == "no answer":
            return "no_answer", policy.trouble_ms
        case "failed" if event.reason == "not connected":
            # Its gateway died and could not say that it left; or its gateway does not know yet
            # what presence says already, and then nothing else would ever end this bar.
            return "offline", policy.trouble_ms
    # To another connection by now: presence tells of it.
    return None
