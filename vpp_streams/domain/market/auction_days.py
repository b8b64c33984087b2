"""The days of a day-ahead auction: local days of the market's zone, of 23, 24 or 25 hours."""

from datetime import UTC, datetime, timedelta, tzinfo

import numpy as np
from numpy.typing import NDArray

from vpp_streams.domain.moments import DAY_MS

Moments = NDArray[np.int64]


def midnight_ms(at_ms: int, zone: tzinfo) -> int:
    """Start of the local day that a moment is in."""
    local = datetime.fromtimestamp(at_ms / 1e3, zone)
    return _ms(local.replace(hour=0, minute=0, second=0, microsecond=0))


def day_starts_ms(first_ms: int, last_ms: int, zone: tzinfo) -> Moments:
    """Starts of the local days from that of the first moment to the one after the last's."""
    midnight = datetime.fromtimestamp(midnight_ms(first_ms, zone) / 1e3, zone)
    starts = [_ms(midnight)]
    while starts[-1] <= last_ms:
        midnight += timedelta(days=1)  # of the local clock, whatever its days' lengths
        starts.append(_ms(midnight))
    return np.array(starts, np.int64)


def local_days(start_ms: Moments, zone: tzinfo) -> Moments:
    """The local day of each moment, counted from 1970."""
    return _local_ms(start_ms, zone) // DAY_MS


def local_slots(start_ms: Moments, zone: tzinfo, interval_ms: int) -> Moments:
    """The place of each interval in its day by the local clock, which may repeat or skip one."""
    return _local_ms(start_ms, zone) % DAY_MS // interval_ms


def _local_ms(start_ms: Moments, zone: tzinfo) -> Moments:
    offsets = [
        datetime.fromtimestamp(at / 1e3, zone).utcoffset() or timedelta()
        for at in start_ms.tolist()
    ]
    return start_ms + np.array([round(o.total_seconds() * 1e3) for o in offsets], np.int64)


def _ms(moment: datetime) -> int:
    return round(moment.astimezone(UTC).timestamp() * 1e3)
