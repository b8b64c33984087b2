"""What owners decide about their sites: how much is reserved for them, and when they take part."""

from typing import Annotated

import msgspec

from schemas.bounds import EpochMs, Fraction, Id
from schemas.dispatch import Source

MAX_SKIPS = 50


class Preferences(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Topic ``preferences``, key site_id: all that an owner decided; the newest record counts."""

    site_id: Id
    set_at_ms: EpochMs
    by: Source
    backup_reserve: Fraction | None = None
    """Fraction of usable energy that is never sold; null = the registry's."""
    storm_mode: bool = True
    """Whether announced storms fill the battery and keep it for the owner."""
    paused_until_ms: EpochMs = 0
    """Until then no request, award or limit commands the battery."""
    skips: Annotated[tuple[Id, ...], msgspec.Meta(max_length=MAX_SKIPS)] = ()
    """Requests (and awards, by their bid_id) that the owner takes no part in; oldest first."""
    left: bool = False
    """The owner has left: the battery is measured and never commanded, whatever else is set."""
