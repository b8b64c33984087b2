"""Enphase Envoy: ``production(.json)`` with meters."""

from collections.abc import Sequence

import msgspec
import numpy as np

from edge.vendor_fields.ages import MAX_LAG_MS
from vpp_streams.domain.telemetry.vendor_rows.checked_columns import Measured
from vpp_streams.domain.telemetry.vendor_rows.times import times_of


class Entry(msgspec.Struct, gc=False):
    """A meter, or the sum of the microinverters."""

    type: str | None = None
    measurementType: str | None = None  # noqa: N815 - the name on the wire
    activeCount: float | None = None  # noqa: N815 - the name on the wire
    wNow: float | None = None  # noqa: N815 - the name on the wire
    readingTime: int | None = None  # noqa: N815 - the name on the wire


class Document(msgspec.Struct, gc=False):
    """A production document whose groups are lists."""

    production: list[Entry]
    consumption: list[Entry] = []
    storage: list[Entry] = []


_NONE = Entry()


def measured(documents: Sequence[Document]) -> Measured:
    """What the documents say; usual are those with a production meter and no old AC battery.

    The Envoy computes the load, so that one with a load is an estimate.
    """
    n = len(documents)
    meters = {
        "solar_w": [_enabled(_of_type(d.production, "production")) for d in documents],
        "grid_w": [_enabled(_of_type(d.consumption, "net-consumption")) for d in documents],
        "load_w": [_enabled(_of_type(d.consumption, "total-consumption")) for d in documents],
    }
    values, usual = (
        {},
        np.array([not any(map(_is_enabled, d.storage)) for d in documents], np.bool_),
    )
    newest, oldest = np.full(n, -1), np.full(n, np.iinfo(np.int64).max)
    for name, found in meters.items():
        power_w = values[name] = np.array([meter.wNow for meter in found], np.float64)
        time_ms = times_of([meter.readingTime for meter in found])
        is_known = ~np.isnan(power_w)
        usual &= ~is_known | (time_ms >= 0)
        newest = np.where(is_known, np.maximum(newest, time_ms), newest)
        oldest = np.where(is_known, np.minimum(oldest, time_ms), oldest)
    usual &= newest - np.minimum(oldest, newest) <= MAX_LAG_MS
    usual &= ~np.isnan(values["solar_w"])
    is_net = np.array([meter is not _NONE for meter in meters["grid_w"]], np.bool_)
    usual &= ~(is_net & np.isnan(values["grid_w"]))
    return Measured(values, newest, ~np.isnan(values["load_w"]), usual)


def _of_type(entries: Sequence[Entry], kind: str) -> Entry | None:
    """The first entry of a kind, by either of the fields that state it."""
    for entry in entries:
        if kind in (entry.measurementType, entry.type):
            return entry
    return None


def _enabled(entry: Entry | None) -> Entry:
    return entry if entry is not None and _is_enabled(entry) else _NONE


def _is_enabled(entry: Entry) -> bool:
    return entry.activeCount is not None and entry.activeCount > 0
