"""A region's grid connections: what flows there beside its batteries, and what may flow.

Net load is load less solar power, + = homes take from the grid. A market that is metered at the
connection sees battery power less net load.
"""

from dataclasses import dataclass

import numpy as np

from schemas.forecast import RegionForecast
from vpp_streams.domain.arrays import Floats, Ints
from vpp_streams.domain.market.rules import MarketRules
from vpp_streams.domain.moments import DAY_MS
from vpp_streams.domain.registry.registry import Registry

MOST_NET_W = 4e11
"""A net load beyond this is absurd; less it and less a battery's, a record can hold the power."""
W_PER_MW = 1e6


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Limits of the power of a region's connections together, W >= 0; infinite = none."""

    import_w: float = np.inf
    export_w: float = np.inf


NO_LIMITS = ConnectionLimits()


def limits_of(registry: Registry, region: str) -> ConnectionLimits:
    """The sums of the limits of a region's sites by the registry.

    A site without an export limit gives what its batteries and panels are rated for. Nothing says
    what a site without an import limit may take, so it leaves its region without one.
    """
    columns = registry.columns
    sites, regions = columns.sites, columns.regions.names
    code = regions.index(region) if region in regions else -1
    mine = (sites.known("region") == code) & (code >= 0)
    rated_w = sites.known("discharge_w")[mine] + np.nan_to_num(sites.known("solar_w")[mine])
    given_w = sites.known("export_limit_w")[mine]
    export_w = np.where(np.isfinite(given_w), given_w, np.nan_to_num(rated_w, nan=np.inf))
    import_w = sites.known("import_limit_w")[mine]
    if not len(given_w):
        return NO_LIMITS  # it has no sites
    return ConnectionLimits(float(import_w.sum()), float(export_w.sum()))


@dataclass(frozen=True, slots=True, eq=False)
class NetLoad:
    """Net load by interval, W."""

    expected_w: Floats
    low_w: Floats
    """10 % quantile, never above the expected value."""
    high_w: Floats
    """90 % quantile, never below it."""

    def mean_of(self, rows: Ints) -> "NetLoad":
        """Means of the intervals in each row, shape (n, parts)."""
        columns = (self.expected_w, self.low_w, self.high_w)
        return NetLoad(*(column[rows].mean(axis=1) for column in columns))


@dataclass(frozen=True, slots=True)
class Tie:
    """What battery power in one interval means at the connection."""

    net_w: float
    """Expected net load."""
    least_w: float
    """Battery power with which the import limit is reached."""
    most_w: float
    """Battery power with which the export limit is reached."""
    import_fee: float
    """Per MWh that is taken from the grid, beside the price."""
    export_fee: float
    """Per MWh that is given to the grid."""

    def fees(self, power_w: Floats, hours: float) -> Floats:
        """What battery powers cost in fees, money per interval."""
        given_w = power_w - self.net_w
        per_h = self.export_fee * np.maximum(given_w, 0) - self.import_fee * np.minimum(given_w, 0)
        fees: Floats = per_h * hours / W_PER_MW
        return fees


@dataclass(frozen=True, slots=True, eq=False)
class Connection:
    """A region's connections ahead."""

    limits: ConnectionLimits
    import_fee: float
    export_fee: float
    start_ms: int
    """Start of the first slot."""
    slot_ms: int
    slots: NetLoad
    """By slot. What comes after the last one is as a day (all slots) before."""

    def ahead(self, start_ms: int, interval_ms: int, steps: int) -> NetLoad:
        """The net load of ``steps`` intervals; before the first slot it is that of the first."""
        parts = max(-(-interval_ms // self.slot_ms), 1)
        middles = (np.arange(parts) + 0.5) * (interval_ms / parts)
        at_ms = start_ms + np.arange(steps)[:, None] * interval_ms + middles
        slot = np.floor((at_ms - self.start_ms) / self.slot_ms).astype(np.int64)
        return self.slots.mean_of(np.maximum(slot, 0) % len(self.slots.expected_w))

    def ties(self, start_ms: int, interval_ms: int, steps: int) -> list[Tie]:
        """The ties of ``steps`` intervals."""
        net_w = self.ahead(start_ms, interval_ms, steps).expected_w.tolist()
        into_w, out_w = self.limits.import_w, self.limits.export_w
        return [Tie(w, w - into_w, w + out_w, self.import_fee, self.export_fee) for w in net_w]

    def key(self) -> tuple[object, ...]:
        """Equal for connections of equal expected net load, limits and fees."""
        slots = self.slots.expected_w.tobytes()
        return self.limits, self.import_fee, self.export_fee, self.start_ms, self.slot_ms, slots


def forecast_connection(
    forecast: RegionForecast, rules: MarketRules, limits: ConnectionLimits
) -> Connection | None:
    """The connections by a forecast of load and solar power; None where it has absurd values.

    Load and solar power err for reasons of their own, so their errors add as squares: the sum of
    both bands would be passed much less often than in one of ten cases.
    """
    load, solar = forecast.load, forecast.solar
    columns = (load.mean_w, load.low_w, load.high_w, solar.mean_w, solar.low_w, solar.high_w)
    if len({len(column) for column in columns}) != 1 or not load.mean_w:
        return None
    found = np.array(columns, np.float64)
    if not np.isfinite(found).all():
        return None
    load_w, load_low, load_high, solar_w, solar_low, solar_high = found
    expected_w = load_w - solar_w
    slots = NetLoad(
        expected_w,
        expected_w - _together(load_w - load_low, solar_high - solar_w),
        expected_w + _together(load_high - load_w, solar_w - solar_low),
    )
    return _sound(rules, limits, forecast.start_ms, forecast.slot_s * 1000, slots)


def seen_connection(
    load_w: float, solar_w: float, rules: MarketRules, limits: ConnectionLimits
) -> Connection | None:
    """The connections as if load and solar power stayed, give or take as much as they are."""
    net_w, spread_w = load_w - solar_w, float(np.hypot(load_w, solar_w))
    one = (np.array([w]) for w in (net_w, net_w - spread_w, net_w + spread_w))
    return _sound(rules, limits, 0, DAY_MS, NetLoad(*one))


def _together(one_w: Floats, other_w: Floats) -> Floats:
    together: Floats = np.hypot(np.maximum(one_w, 0), np.maximum(other_w, 0))
    return together


def _sound(
    rules: MarketRules, limits: ConnectionLimits, start_ms: int, slot_ms: int, slots: NetLoad
) -> Connection | None:
    columns = np.array([slots.expected_w, slots.low_w, slots.high_w])
    if not (np.isfinite(columns).all() and np.abs(columns).max() <= MOST_NET_W):
        return None
    return Connection(limits, rules.import_fee, rules.export_fee, start_ms, slot_ms, slots)
