"""What rules a region now, and the power that it calls for.

A target states what the batteries are to give (or what is to flow at the connections: then the
batteries make up for the net load as it is measured); limits hold at the grid connections and take
precedence. Net import = net load - battery power, so a limit bounds battery power from below
(import) or above (export). Without a target an import limit acts only while it would be broken:
peak shaving.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from schemas.dispatch import Hold, Limit, Mode, Target
from schemas.grid import Droop

ENGAGE_SHARE, RELEASE_SHARE = 0.98, 0.95
"""Shares of an import limit: shaving begins above the first and ends below the second."""


@dataclass(frozen=True, slots=True)
class Ruling:
    """The requests that decide what a region does now."""

    mode: Mode
    target: Target | None = None
    limits: tuple[Limit, ...] = ()
    hold: Hold | None = None
    waiting: tuple[str, ...] = ()
    """Requests that are outranked."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A region as it is measured."""

    battery_w: float
    """+ = discharge."""
    net_load_w: Mapping[str, float]
    """Load less solar by feeder, W; "" = sites without a feeder."""


@dataclass(frozen=True, slots=True)
class CalledPower:
    """The power that a ruling calls for."""

    export_w: float
    """Power of the batteries, + = discharge."""
    feeder_limits_w: Mapping[str, tuple[float, float]]
    """Feeder -> least and most battery power of its sites, W."""
    request_id: str
    """Id of the target, or of the limit that binds without one."""
    issued_at_ms: int
    ends_at_ms: int
    droop: Droop | None = None
    engaged: bool = False
    """Whether a limit acts without a target; passed in again next time, as hysteresis."""
    wanted_w: float | None = None
    """The target's power, where a limit takes precedence."""


def called_power(ruling: Ruling, measured: Measured, engaged: bool) -> CalledPower | None:
    """The power that the batteries are to give now; None = they are not commanded."""
    if ruling.hold is not None:
        return None
    limits = [limit for limit in ruling.limits if limit.feeder is None]
    net_load_w = sum(measured.net_load_w.values())
    bounds = [(_battery_bounds(limit, net_load_w), limit) for limit in limits]
    least_w = max((low for (low, _), _ in bounds), default=-math.inf)
    most_w = min((high for (_, high), _ in bounds), default=math.inf)
    feeders = _feeder_bounds(ruling.limits, measured)
    target = ruling.target
    if target is not None and target.export_w is not None:
        asked_w = target.export_w + (net_load_w if target.metered_at == "connection" else 0.0)
        export_w = min(max(asked_w, least_w), max(most_w, least_w))
        wanted_w = asked_w if asked_w != export_w else None
        called = _called(target, export_w, feeders)
        return replace(called, droop=target.droop, wanted_w=wanted_w)
    binding = _shaves(limits, measured.battery_w, net_load_w, engaged)
    if binding is None:
        return None
    export_w = min(max(0.0, least_w), max(most_w, least_w))
    return replace(_called(binding, export_w, feeders), engaged=True)


def _called(
    request: Target | Limit, export_w: float, feeder_limits_w: Mapping[str, tuple[float, float]]
) -> CalledPower:
    return CalledPower(
        export_w, feeder_limits_w, request.request_id, request.issued_at_ms, request.ends_at_ms
    )


def _battery_bounds(limit: Limit, net_load_w: float) -> tuple[float, float]:
    least = -math.inf if limit.import_limit_w is None else net_load_w - limit.import_limit_w
    most = math.inf if limit.export_limit_w is None else net_load_w + limit.export_limit_w
    return least, most


def _feeder_bounds(limits: Sequence[Limit], measured: Measured) -> dict[str, tuple[float, float]]:
    found: dict[str, tuple[float, float]] = {}
    for limit in limits:
        if limit.feeder is None:
            continue
        low, high = _battery_bounds(limit, measured.net_load_w.get(limit.feeder, 0.0))
        known = found.get(limit.feeder, (-math.inf, math.inf))
        found[limit.feeder] = max(low, known[0]), min(high, known[1])
    return found


def _shaves(
    limits: Sequence[Limit], battery_w: float, net_load_w: float, engaged: bool
) -> Limit | None:
    """The limit that the region would break by itself; None where there is none."""
    grid_w = net_load_w - battery_w
    for limit in limits:
        if limit.import_limit_w is not None:
            held = engaged and net_load_w > RELEASE_SHARE * limit.import_limit_w
            if held or grid_w > ENGAGE_SHARE * limit.import_limit_w:
                return limit
        if limit.export_limit_w is not None:
            held = engaged and -net_load_w > RELEASE_SHARE * limit.export_limit_w
            if held or -grid_w > ENGAGE_SHARE * limit.export_limit_w:
                return limit
    return None
