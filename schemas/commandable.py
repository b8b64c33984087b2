"""Which of a region's registered batteries can be commanded now, and why the others cannot."""

from typing import Annotated, Literal, get_args

import msgspec

Batteries = Annotated[int, msgspec.Meta(ge=0, le=1_000_000_000)]
RatedWatts = Annotated[float, msgspec.Meta(ge=0.0, le=1e12)]
Hindrance = Literal[
    "never_seen",
    "not_connected",
    "silent",
    "islanded",
    "storm",
    "refused",
    "opted_out",
    "no_answer",
    "unmeasured",
]
"""Why a battery cannot be commanded. ``never_seen``: it is registered and has never sent a
reading. ``not_connected``: no gateway has its connection. ``silent``: its newest reading is too
old. ``islanded``: it keeps its home alive. ``storm``: it is kept for its owner. ``refused``,
``opted_out``, ``no_answer``: it did so when it was last asked, and is not asked for a while.
``unmeasured``: its state of charge is not known."""
HINDRANCES: tuple[Hindrance, ...] = get_args(Hindrance)


class Hindered(msgspec.Struct, frozen=True, kw_only=True):
    """Batteries that cannot be commanded for one reason."""

    cause: Hindrance
    batteries: Batteries
    rated_w: RatedWatts
    """Discharge that they are rated for."""


class Commandable(msgspec.Struct, frozen=True, kw_only=True):
    """How many of the registered batteries can be commanded now, and how much of their power.

    Every registered battery is counted once: ``batteries`` is ``commandable`` and all of
    ``hindered`` together, and so is ``rated_w``.
    """

    batteries: Batteries
    """Registered."""
    rated_w: RatedWatts
    """Discharge that the registered ones are rated for."""
    commandable: Batteries
    commandable_w: RatedWatts
    """Discharge that the commandable ones are rated for."""
    hindered: Annotated[tuple[Hindered, ...], msgspec.Meta(max_length=32)] = ()
