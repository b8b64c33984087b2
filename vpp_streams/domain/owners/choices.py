"""Changes of an owner's preferences, checked: a new record, or why there is none."""

from collections.abc import Collection

import msgspec

from schemas.preferences import MAX_SKIPS, Preferences
from vpp_streams.domain.moments import DAY_MS

LONGEST_PAUSE_MS = 366 * DAY_MS


class Change(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an owner changes; what is left out stays as it is."""

    backup_reserve: float | msgspec.UnsetType = msgspec.UNSET
    """Fraction of usable energy, 0..1."""
    storm_mode: bool | msgspec.UnsetType = msgspec.UNSET
    paused_until_ms: int | msgspec.UnsetType = msgspec.UNSET
    """UTC; 0 = take part again."""
    left: bool | msgspec.UnsetType = msgspec.UNSET


def changed(before: Preferences, change: Change, by: str, now_ms: int) -> Preferences | str:
    """The preferences after a change, or one sentence that says why it cannot be."""
    fields = {
        name: value
        for name, value in msgspec.structs.asdict(change).items()
        if value is not msgspec.UNSET
    }
    if not fields:
        return "nothing is to be changed"
    reserve = fields.get("backup_reserve")
    if reserve is not None and not 0 <= reserve <= 1:
        return f"a reserve is 0 to 100 % of the battery, and {reserve:.0%} is not"
    pause_ms = fields.get("paused_until_ms", 0)
    if pause_ms and not now_ms < pause_ms <= now_ms + LONGEST_PAUSE_MS:
        return "a pause ends later than now and within a year; to leave for good, leave"
    return msgspec.structs.replace(before, set_at_ms=now_ms, by=by, **fields)


def skipping(
    before: Preferences, request_id: str, known: Collection[str], by: str, now_ms: int
) -> Preferences | str:
    """The preferences with a request skipped, or why it cannot be.

    ``known`` are the requests that are not over: others need not be skipped any more.
    """
    if request_id not in known:
        return f"there is no event {request_id[:64]!r} that is still to end"
    kept = [one for one in before.skips if one in known and one != request_id]
    skips = (*kept, request_id)[-MAX_SKIPS:]
    return msgspec.structs.replace(before, set_at_ms=now_ms, by=by, skips=skips)


def joining(before: Preferences, request_id: str, by: str, now_ms: int) -> Preferences | str:
    """The preferences with a request not skipped any more, or why it cannot be."""
    if request_id not in before.skips:
        return f"the event {request_id[:64]!r} is not skipped"
    skips = tuple(one for one in before.skips if one != request_id)
    return msgspec.structs.replace(before, set_at_ms=now_ms, by=by, skips=skips)
