"""Frames of site windows, made from records and read from Kafka."""

from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa

from schemas.window_frames import POWERS, SITE_WINDOWS_V1, SOC, STATISTICS, windows_of
from schemas.windows import SiteWindow
from vpp_streams.kafka import topics
from vpp_streams.kafka.decode import decode

NAN = float("nan")


def frame_of(windows: Iterable[SiteWindow]) -> pa.RecordBatch:
    """A frame of these windows, a row each."""
    return pa.RecordBatch.from_pylist([_row(window) for window in windows], SITE_WINDOWS_V1)


def windows_in(value: bytes, headers: Sequence[tuple[str, bytes]]) -> Iterator[SiteWindow]:
    """The windows of a Kafka record of ``site.windows``."""
    return windows_of(decode(topics.SITE_WINDOWS, value, headers))


def _row(window: SiteWindow) -> dict[str, object]:
    plain = ("site_id", "region", "start_ms", "size_s", "revision", "readings", "coverage",
             "estimated", "bad")  # fmt: skip
    row: dict[str, object] = {name: getattr(window, name) for name in plain}
    for outer, names in (*((power, STATISTICS) for power in POWERS), ("soc", SOC)):
        inner = getattr(window, outer)
        row |= {f"{outer}_{name}": NAN if inner is None else getattr(inner, name) for name in names}
    return row
