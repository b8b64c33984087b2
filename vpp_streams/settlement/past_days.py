"""Reads earlier days from history, for baselines that compare an event with similar days."""

from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa

from vpp_streams.domain.history.kinds import BY_NAME
from vpp_streams.domain.settle.intervals import MINUTE_S, QUARTER_S, Energies, SiteWindows, Span
from vpp_streams.domain.settle.past import Need, Past
from vpp_streams.domain.settle.periods import local_date
from vpp_streams.errors import RefusedError, VppError
from vpp_streams.history.reports import History, open_history

_ENERGIES = ("battery_energy_wh", "grid_energy_wh", "solar_energy_wh", "load_energy_wh")


class PastDays:
    """A history's directory; it is looked for each time, because a historian may begin it."""

    def __init__(self, root: Path, lateness_ms: int) -> None:
        self._root = root
        self._lateness_ms = lateness_ms

    def read(self, need: Need) -> Past:
        """What history knows. Raises `RefusedError` where there is none, or it cannot be read."""
        try:
            history = open_history(self._root, self._lateness_ms)
            return Past(_windows(history, need), _event_days(history, need))
        except VppError as error:
            raise RefusedError(f"a baseline needs earlier days: {error}") from None


def _windows(history: History, need: Need) -> SiteWindows:
    size_s = QUARTER_S if _by_quarter(need.spans) else MINUTE_S
    kind = BY_NAME["site_windows" if size_s == QUARTER_S else "site_minutes"]
    names = ", ".join((*("site_id", "start_ms", "revision", "coverage"), *_ENERGIES))
    rows = history.query(
        kind,
        need.spans,
        lambda once: (
            f"SELECT {names} FROM {once} w WHERE site_id IN (SELECT site_id FROM wanted_sites)"
            " AND EXISTS (SELECT 1 FROM wanted_spans s"
            " WHERE w.start_ms >= s.from_ms AND w.start_ms < s.until_ms)"
            " ORDER BY start_ms, site_id"
        ),
        {
            "wanted_sites": pa.table({"site_id": pa.array(need.site_ids, pa.string())}),
            "wanted_spans": _table(need.spans),
        },
    )
    found = SiteWindows()
    starts = rows.column("start_ms").to_numpy()
    cuts = np.flatnonzero(np.diff(starts)) + 1
    for first, last in zip([0, *cuts], [*cuts, len(starts)], strict=True):
        if last > first:
            part = rows.slice(first, last - first)
            found.put(size_s, int(starts[first]), part["site_id"].to_pylist(), _energies(part))
    return found


def _by_quarter(spans: tuple[Span, ...]) -> bool:
    return all(moment % (QUARTER_S * 1000) == 0 for span in spans for moment in span)


def _energies(rows: pa.Table) -> Energies:
    battery, grid, solar, load = (
        rows[name].cast(pa.float64()).to_numpy().astype(np.float64) for name in _ENERGIES
    )
    return Energies(
        battery,
        grid,
        solar,
        load,
        np.minimum(rows["coverage"].to_numpy(), 1.0),
        rows["revision"].to_numpy().astype(np.int64),
    )


def _event_days(history: History, need: Need) -> frozenset[date]:
    """The days on which an award had energy to deliver, or another request applied."""
    span = min(since for since, _ in need.spans), max(until for _, until in need.spans)
    region = {"wanted_region": pa.table({"region": [need.region]})}

    def rows(kind: str, columns: str, where: str) -> pa.Table:
        return history.query(
            BY_NAME[kind],
            [span],
            lambda once: (
                f"SELECT {columns} FROM {once}"
                f" WHERE region IN (SELECT region FROM wanted_region) AND {where}"
            ),
            region,
        )

    awards = rows("deliveries", "bid_id, start_ms, coalesce(needed_w, awarded_w) AS w", "true")
    others = rows("requests", "request_id, at_ms", "state = 'active'")
    moments = [one["start_ms"] for one in awards.to_pylist() if one["w"]]
    # An award is a request too, and active whatever it asks for.
    bids = set(awards["bid_id"].to_pylist())
    moments += [one["at_ms"] for one in others.to_pylist() if one["request_id"] not in bids]
    return frozenset(local_date(at_ms, need.zone) for at_ms in moments)


def _table(spans: tuple[Span, ...]) -> pa.Table:
    return pa.table(
        {
            "from_ms": pa.array([span[0] for span in spans], pa.int64()),
            "until_ms": pa.array([span[1] for span in spans], pa.int64()),
        }
    )
