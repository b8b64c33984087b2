"""Times as people type them: ``15m``, ``1h30m``, ``18:00``."""

import re
from datetime import UTC, datetime, timedelta

from vpp_streams.errors import InputError

_UNITS_S = {"d": 86_400.0, "h": 3600.0, "m": 60.0, "s": 1.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)([dhms])", re.ASCII)
_CLOCK = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?", re.ASCII)


def duration_s(text: str) -> float:
    """Seconds of ``90s``, ``15m``, ``1h30m``, ``2d``. Raises `ValueError` with these examples."""
    parts = _PART.findall(text)
    found = sum(float(number) * _UNITS_S[unit] for number, unit in parts)
    if "".join(number + unit for number, unit in parts) != text or not found > 0:
        raise ValueError(f"{text!r} is not a duration; write 90s, 15m, 1h30m or 2d")
    return found


def moment_ms(text: str, now: datetime) -> int:
    """Milliseconds since 1970 UTC of the next ``18:00`` in the zone of ``now``, or of an ISO time.

    Raises `ValueError` with examples of both.
    """
    clock = _CLOCK.fullmatch(text)
    try:
        if clock is None:
            moment = datetime.fromisoformat(text)
            moment = moment.replace(tzinfo=now.tzinfo) if moment.tzinfo is None else moment
        else:
            hour, minute, second = (int(part or 0) for part in clock.groups())
            moment = now.replace(hour=hour, minute=minute, second=second, microsecond=0)
            if moment <= now:
                moment += timedelta(days=1)
        return round(moment.astimezone(UTC).timestamp() * 1000)
    except (ValueError, OverflowError):
        raise ValueError(
            f"{text!r} is not a time; write 18:00, or 2026-03-01T18:00 (or with its zone: …+01:00)"
        ) from None


def order_times(
    lasts: str | None, at: str | None, starts_in: str | None, now: datetime
) -> dict[str, float]:
    """``for_s`` and ``starts_at_ms`` of an order to the API. Raises `InputError`."""
    if lasts is None:
        raise InputError("a request needs an end: give --for, for example --for 15m")
    if at is not None and starts_in is not None:
        raise InputError("give --at or --starts-in, not both")
    try:
        times = {"for_s": duration_s(lasts)}
        if starts_in is not None:
            start = now + timedelta(seconds=duration_s(starts_in))
            times["starts_at_ms"] = round(start.timestamp() * 1000)
        if at is not None:
            times["starts_at_ms"] = moment_ms(at, now)
    except (ValueError, OverflowError) as error:
        raise InputError(str(error)) from None
    return times


def utc_ms(option: str, text: str | None) -> int | None:
    """Milliseconds since 1970 of an ISO time, in UTC unless it names a zone; None stays None.

    Raises `InputError`, which names the ``option``.
    """
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise InputError(
            f"{option} {text}: give a time like 2024-03-01 or 2024-03-01T12:00"
        ) from None
    return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)
