"""The registered batteries of a region that can be commanded now, and why others cannot."""

from typing import Annotated, Literal, get_args

import msgspec

from schemas.bounds import Positive

Batteries = Annotated[int, msgspec.Meta(ge=0, le=1_000_000_000)]
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
    "measures_only",
]
"""Why a battery cannot be commanded. ``never_seen``: it is registered and has never sent a
reading. ``not_connected``: no gateway has its connection. ``silent``: its newest reading is too
old. ``islanded``: it supplies its home. ``storm``: it is kept for its owner. ``refused``,
``opted_out``, ``no_answer``: its last answer; it is not commanded for a while.
``unmeasured``: its state of charge is not known. ``measures_only``: it takes no setpoint, as it
said when it connected."""
HINDRANCES: tuple[Hindrance, ...] = get_args(Hindrance)


class Hindered(msgspec.Struct, frozen=True, kw_only=True):
    """Batteries that cannot be commanded for one reason."""

    cause: Hindrance
    batteries: Batteries
    rated_w: Positive
    """Sum of their discharge ratings, W."""


class Commandable(msgspec.Struct, frozen=True, kw_only=True):
    """The number of registered batteries that can be commanded now, and their power.

    Every registered battery is counted once: ``batteries`` is the sum of ``commandable`` and
    ``hindered``, and so is ``rated_w``.
    """

    batteries: Batteries
    """Number of registered batteries."""
    rated_w: Positive
    """Sum of the discharge ratings of the registered ones, W."""
    commandable: Batteries
    commandable_w: Positive
    """Sum of the discharge ratings of the commandable ones, W."""
    hindered: Annotated[tuple[Hindered, ...], msgspec.Meta(max_length=32)] = ()
