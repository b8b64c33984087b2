"""Where a battery's energy went in an event, and whether its reserve was kept, from its windows."""

from collections.abc import Iterable, Sequence

import msgspec

from schemas.windows import SiteWindow

_ROUNDING = 0.005
"""Part of the usable energy by which meters and batteries differ: less is not below the reserve."""


class EventFlows(msgspec.Struct, frozen=True, kw_only=True):
    """What the windows of an event say beside the ledger."""

    to_grid_wh: float
    """Energy of the battery that left through the connection."""
    to_home_wh: float
    """Energy of the battery that the home used itself."""
    charged_wh: float
    lowest_soc: float | None
    """0..1; null = not measured."""
    reserve: float | None
    """The owner's reserve at the time, 0..1; null = it was changed since, so it is not known."""
    reserve_kept: bool | None
    """null = not known."""


def event_flows(
    windows: Iterable[SiteWindow], start_ms: int, end_ms: int, reserve: float | None
) -> EventFlows | None:
    """The flows of an event. None if its windows are not known completely, or not measured.

    In each window, energy of the battery goes to the grid as far as the connection exported.
    """
    inside = [w for w in windows if start_ms <= w.start_ms and w.start_ms + _ms(w) <= end_ms]
    if not inside or sum(map(_ms, inside)) < end_ms - start_ms:
        return None
    flows = [_split(window) for window in inside]
    known = [flow for flow in flows if flow is not None]
    if len(known) < len(flows):
        return None
    lowest = _lowest(inside)
    return EventFlows(
        to_grid_wh=sum(grid for grid, _, _ in known),
        to_home_wh=sum(home for _, home, _ in known),
        charged_wh=sum(charged for _, _, charged in known),
        lowest_soc=lowest,
        reserve=reserve,
        reserve_kept=None if lowest is None or reserve is None else lowest >= reserve - _ROUNDING,
    )


def _ms(window: SiteWindow) -> int:
    return window.size_s * 1000


def _split(window: SiteWindow) -> tuple[float, float, float] | None:
    if window.battery is None or window.grid is None:
        return None
    given = window.battery.positive_wh
    to_grid = min(given, window.grid.negative_wh)
    return to_grid, given - to_grid, window.battery.negative_wh


def _lowest(windows: Sequence[SiteWindow]) -> float | None:
    if any(window.soc is None for window in windows):
        return None
    return min((window.soc.min for window in windows if window.soc is not None), default=None)
