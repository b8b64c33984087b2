"""The life of a command as the cloud sees it: its states, the effect of events, when to renew.

A device holds at most one lease. The cloud knows only the device's last answer: the newest
command may be on its way while an older one still acts.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from schemas.commands import CommandEvent, CommandState
from schemas.dispatch import Cause
from vpp_streams.domain.arrays import Mask
from vpp_streams.domain.moments import HOUR_MS

State = Literal["none", CommandState]
NAMES: tuple[str, ...] = ("none", *get_args(CommandState))
CODE = {name: code for code, name in enumerate(NAMES)}
NONE, CREATED, DELIVERED = CODE["none"], CODE["created"], CODE["delivered"]
ACCEPTED, APPLIED = CODE["accepted"], CODE["applied"]
UNANSWERED = (CREATED, DELIVERED)
STANDING = (ACCEPTED, APPLIED)


def _mask_of(codes: tuple[int, ...]) -> Mask:
    return np.isin(np.arange(len(NAMES)), codes)


IS_UNANSWERED, IS_STANDING = _mask_of(UNANSWERED), _mask_of(STANDING)
"""By code of a state; an index by a column of them is many times as fast as a search."""

CAUSES: tuple[Cause, ...] = get_args(Cause)
CAUSE = {name: code for code, name in enumerate(CAUSES)}


@dataclass(frozen=True, slots=True, kw_only=True)
class LeasePolicy:
    """Durations of leases and exclusions, ms, and tolerances of setpoints."""

    lease_ms: int = 30_000
    """Length of a lease: a device that receives nothing more falls back when it ends."""
    renew_ms: int = 15_000
    """A lease is renewed when less than this is left of it."""
    again_ms: int = 6_000
    """A command without an answer for this long counts as lost (a gateway would report sooner that
    the device does not answer)."""
    refused_ms: int = 300_000
    """A device that refused is not commanded again for this long."""
    opted_out_ms: int = HOUR_MS
    """A device whose owner opted out is not commanded again for this long."""
    trouble_ms: int = 30_000
    """A device that did not answer, or failed, is not commanded again for this long."""
    settle_ms: int = 4_000
    """A device is given this long to reach its setpoint."""
    off_ms: int = 3_000
    """A device that misses its setpoint for this long is capped at its measured power."""
    bound_ms: int = 60_000
    """A device that missed its setpoint is capped at its measured power for this long."""
    off_share: float = 0.05
    off_w: float = 100.0
    """A device misses its setpoint by more than both this share of it and ``off_w`` watts."""
    keep_share: float = 0.004
    """Setpoints stay as they are while their sum is within this share of the order."""
    silent_after_ms: int = 10_000


def bar_of(event: CommandEvent, policy: LeasePolicy) -> tuple[Cause, int] | None:
    """Why and for how many ms a device is not commanded after this event; None = it may be."""
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
            # Its gateway died and could not report the disconnect; or it does not know yet what
            # presence says already, and then nothing else would ever end this exclusion.
            return "offline", policy.trouble_ms
    # It concerns another connection by now; presence reports that.
    return None
