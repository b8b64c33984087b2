"""One region's control cycle: its ruling request and its partitions' supplies become orders.

The cycle is feed-forward: what cannot be commanded is measured and subtracted, the rest is
shared out by the supply curves, and a device that does not follow is capped at its measured
power. So the sum is right without an integrator that could wind up (ADR 8).
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import get_args

import numpy as np

from schemas.commands import FINAL, CommandState
from schemas.dispatch import (
    Dispatch,
    DispatchStatus,
    Missing,
    Notice,
    Share,
    StormCost,
    Supply,
    SupplyPartial,
)
from schemas.grid import PriceSeries
from schemas.windows import Deliverable
from vpp_streams.domain.control.missing_power import (
    held_by_feeders,
    limited,
    limited_by,
    near_w,
    one_cause,
    reported_causes,
    with_the_rest,
)
from vpp_streams.domain.control.requests import held_w
from vpp_streams.domain.control.ruling import CalledPower, Measured, Ruling, called_power
from vpp_streams.domain.control.standing import added
from vpp_streams.domain.control.storms import cost
from vpp_streams.domain.control.supply import Curve, Merged, merge

SUPPLY_VALID_MS = 3_000
"""A partition whose supply is older than this is not counted on."""
IDLE_STATUS_MS = 2_000
UNDER_LEASE = frozenset(get_args(CommandState)) - FINAL


@dataclass(slots=True)
class Cycle:
    """The records that a cycle publishes."""

    orders: list[Dispatch] = field(default_factory=list)
    status: DispatchStatus | None = None
    notice: Notice | None = None


@dataclass(frozen=True, slots=True)
class _Seen:
    """The region at one moment."""

    now_ms: int
    live: Mapping[int, SupplyPartial]
    """Partition -> its newest supply, where that is recent."""
    expected: Collection[int]
    """Partitions that have sites of the region."""
    unheard_w: float
    """Battery power of the other partitions, as long as their leases may run."""
    measured: Measured


class RegionDispatch:
    """The newest supplies of a region, and what was last published about it."""

    def __init__(self, region: str, lease_ms: int) -> None:
        self.region = region
        self._lease_ms = lease_ms
        self._supplies: dict[int, SupplyPartial] = {}
        self.prices: PriceSeries | None = None
        """The region's newest prices."""
        self._engaged = False
        self._published_ms = 0
        self._notice: Notice | None = None
        self._ruled_by = ""

    def apply_supply(self, partial: SupplyPartial) -> None:
        """Take a partition's newest supply; an older one is ignored."""
        known = self._supplies.get(partial.partition)
        if known is None or partial.at_ms >= known.at_ms:
            self._supplies[partial.partition] = partial

    def capability(self, now_ms: int) -> tuple[Deliverable, ...] | None:
        """What the region could hold; None where no partition has a recent supply."""
        live = self._live(now_ms)
        return _added(live.values()) if live else None

    def cycle(self, ruling: Ruling, expected: Collection[int], now_ms: int) -> Cycle:
        """Run one cycle. ``expected`` are the partitions with sites of the region."""
        seen = self._look(expected, now_ms)
        called = called_power(ruling, seen.measured, self._engaged)
        self._engaged = called is not None and called.engaged
        if called is None:
            return self._rest(ruling, seen)
        return self._rule(ruling, called, seen)

    def _look(self, expected: Collection[int], now_ms: int) -> _Seen:
        live = self._live(now_ms)
        # Devices of a partition without a recent supply go on until their leases end.
        unheard_w = sum(
            s.measured_w
            for p, s in self._supplies.items()
            if p not in live and now_ms - s.at_ms <= self._lease_ms
        )
        net_load: dict[str, float] = {}
        for partial in live.values():
            for supply in partial.supplies:
                net_load[supply.feeder] = net_load.get(supply.feeder, 0.0) + supply.net_load_w
        battery_w = unheard_w + sum(s.measured_w for s in live.values())
        return _Seen(now_ms, live, expected, unheard_w, Measured(battery_w, net_load))

    def _live(self, now_ms: int) -> dict[int, SupplyPartial]:
        return {p: s for p, s in self._supplies.items() if now_ms - s.at_ms <= SUPPLY_VALID_MS}

    def _rest(self, ruling: Ruling, seen: _Seen) -> Cycle:
        """Nothing is requested: end all leases, whoever granted them."""
        out = Cycle(notice=self._over(seen.now_ms))
        out.orders = [
            self._order(seen, partition, None)
            for partition, supply in seen.live.items()
            if UNDER_LEASE & supply.states.keys()
        ]
        if out.orders or seen.now_ms - self._published_ms >= IDLE_STATUS_MS:
            self._published_ms = seen.now_ms
            out.status = self._status(ruling, seen)
        return out

    def _rule(self, ruling: Ruling, called: CalledPower, seen: _Seen) -> Cycle:
        """Share out the requested power, and state what is missing of it."""
        self._ruled_by = called.request_id
        supplies = {(p, s.feeder): s for p, partial in seen.live.items() for s in partial.supplies}
        beside = _uncontrolled_by_feeder(supplies.values())
        uncontrolled_w = seen.unheard_w + sum(beside.values())
        merged = _merged(called, supplies, beside, uncontrolled_w)
        allocated_w = uncontrolled_w + sum(merged.shares.values())
        missing_w = _wanted_w(called) - allocated_w
        causes = with_the_rest(
            (
                *limited(called),
                *held_by_feeders(called, beside, supplies, merged.shares),
                *reported_causes(seen.live, seen.expected, called.export_w),
            ),
            missing_w,
        )
        self._published_ms = seen.now_ms
        orders = [
            self._order(seen, partition, shares, called)
            for partition in seen.live
            if (shares := _shares_of(partition, merged.shares, supplies))
        ]
        return Cycle(
            orders=orders,
            status=self._status(ruling, seen, called, allocated_w, causes),
            notice=self._missing(called, missing_w, causes, seen),
        )

    def _order(
        self,
        seen: _Seen,
        partition: int,
        shares: tuple[Share, ...] | None,
        called: CalledPower | None = None,
    ) -> Dispatch:
        return Dispatch(
            region=self.region,
            partition=partition,
            request_id=self._ruled_by,
            issued_at_ms=seen.now_ms,
            asked_at_ms=called.issued_at_ms if called else seen.now_ms,
            until_ms=called.ends_at_ms if called else seen.now_ms,
            shares=shares,
            droop=called.droop if called else None,
        )

    def _status(
        self,
        ruling: Ruling,
        seen: _Seen,
        called: CalledPower | None = None,
        allocated_w: float | None = None,
        causes: tuple[Missing, ...] = (),
    ) -> DispatchStatus:
        wanted_w = _wanted_w(called) if called else None
        return DispatchStatus(
            region=self.region,
            at_ms=seen.now_ms,
            mode="idle" if ruling.mode == "limit" and called is None else ruling.mode,
            request_id=called.request_id if called else "",
            ends_at_ms=called.ends_at_ms if called else 0,
            asked_w=wanted_w,
            allocated_w=allocated_w,
            measured_w=seen.measured.battery_w,
            net_load_w=sum(seen.measured.net_load_w.values()),
            missing_w=0.0 if wanted_w is None else wanted_w - (allocated_w or 0.0),
            capability=_added(seen.live.values()),
            states=_states(seen.live.values()),
            causes=causes,
            limited_by=limited_by(ruling, causes),
            waiting=ruling.waiting,
            storm=self._storm(seen),
            partitions_expected=len(seen.expected),
            partitions_heard=len(seen.live),
            commandable=added(s.commandable for s in seen.live.values()),
        )

    def _storm(self, seen: _Seen) -> StormCost | None:
        parts = [m for s in seen.live.values() for m in s.missing if m.cause == "storm"]
        if not parts:
            return None
        return cost(
            sum(part.devices for part in parts),
            sum(part.up_w for part in parts),
            sum(s.storm_wh for s in seen.live.values()),
            self.prices,
            seen.now_ms,
        )

    def _missing(
        self, called: CalledPower, missing_w: float, causes: tuple[Missing, ...], seen: _Seen
    ) -> Notice | None:
        """A notice of power that is missing, or will be before the end, unless it was published."""
        now_ms = from_ms = seen.now_ms
        near = near_w(called.export_w)
        if abs(missing_w) <= near:
            lasts_s, missing_w = _lasts(called, _added(seen.live.values()), now_ms)
            if abs(missing_w) <= near:
                return self._over(now_ms)
            from_ms = now_ms + round(lasts_s * 1000)
            reserve = tuple(c for c in causes if c.cause == "reserve")
            causes = reserve or (one_cause("reserve", missing_w),)
        elif self._notice is not None and self._notice.request_id == called.request_id:
            from_ms = min(from_ms, self._notice.from_ms)  # it continues: only how much is new
        notice = Notice(
            region=self.region,
            request_id=called.request_id,
            at_ms=now_ms,
            missing_w=missing_w,
            from_ms=from_ms,
            causes=causes,
        )
        if self._notice is not None and _says_the_same(self._notice, notice, near):
            return None
        self._notice = notice
        return notice

    def _over(self, now_ms: int) -> Notice | None:
        """A notice that nothing is missing any more, where one of missing power was published."""
        published, self._notice = self._notice, None
        if published is None:
            return None
        return Notice(
            region=self.region,
            request_id=published.request_id,
            at_ms=now_ms,
            missing_w=0.0,
            from_ms=now_ms,
        )


def _shares_of(
    partition: int,
    shares: Mapping[tuple[int, str], float],
    supplies: Mapping[tuple[int, str], Supply],
) -> tuple[Share, ...]:
    return tuple(
        Share(feeder, watts, supplies[p, feeder].uncontrolled_w)
        for (p, feeder), watts in shares.items()
        if p == partition
    )


def _states(supplies: Iterable[SupplyPartial]) -> dict[str, int]:
    """The number of devices in each state, over all partitions."""
    states = Counter[str]()
    for supply in supplies:
        states.update(supply.states)
    return dict(sorted(states.items()))


def _added(supplies: Iterable[SupplyPartial]) -> tuple[Deliverable, ...]:
    up: dict[int, float] = {}
    down: dict[int, float] = {}
    for supply in supplies:
        for held in supply.deliverable:
            up[held.duration_s] = up.get(held.duration_s, 0.0) + held.up_w
            down[held.duration_s] = down.get(held.duration_s, 0.0) + held.down_w
    return tuple(Deliverable(d, up[d], down[d]) for d in sorted(up))


def _wanted_w(called: CalledPower) -> float:
    """The requested power, W, before limits."""
    return called.export_w if called.wanted_w is None else called.wanted_w


def _lasts(
    called: CalledPower, capability: tuple[Deliverable, ...], now_ms: int
) -> tuple[float, float]:
    """How long the request can be held, s, and the power missing at its end, W (0: it lasts).

    It can be given now, so within the shortest published duration only energy can run out.
    """
    left_s = (called.ends_at_ms - now_ms) / 1000
    want_w = abs(called.export_w)
    shortest_s = float(capability[0].duration_s) if capability else 0.0

    def held(seconds: float) -> float:
        up_w, down_w = held_w(capability, max(seconds, shortest_s))
        power_w = up_w if called.export_w > 0 else down_w
        return power_w * max(shortest_s / max(seconds, 1.0), 1.0)

    if left_s <= 1 or not capability or held(left_s) >= want_w:
        return left_s, 0.0
    short, long = 0.0, left_s
    for _ in range(30):
        middle = (short + long) / 2
        short, long = (middle, long) if held(middle) >= want_w else (short, middle)
    missing_w = want_w - held(left_s)
    return short, missing_w if called.export_w > 0 else -missing_w


def _says_the_same(before: Notice, notice: Notice, near_w: float) -> bool:
    """Whether one notice adds nothing to the other."""
    return (
        before.request_id == notice.request_id
        and abs(before.missing_w - notice.missing_w) <= max(0.1 * abs(before.missing_w), near_w)
        and {c.cause for c in before.causes} == {c.cause for c in notice.causes}
        and (before.from_ms <= notice.at_ms) == (notice.from_ms <= notice.at_ms)
    )


def _merged(
    called: CalledPower,
    supplies: Mapping[tuple[int, str], Supply],
    beside: Mapping[str, float],
    uncontrolled_w: float,
) -> Merged[tuple[int, str]]:
    """The called power shared out, less what batteries that cannot be commanded give, W.

    ``beside`` is their power by feeder, ``uncontrolled_w`` in total.
    """
    return merge(
        {k: Curve(np.array(s.prices), np.array(s.power_w)) for k, s in supplies.items()},
        {key: key[1] for key in supplies},
        {
            feeder: (least - beside.get(feeder, 0.0), most - beside.get(feeder, 0.0))
            for feeder, (least, most) in called.feeder_limits_w.items()
        },
        called.export_w - uncontrolled_w,
    )


def _uncontrolled_by_feeder(supplies: Iterable[Supply]) -> dict[str, float]:
    """Power of the batteries that cannot be commanded, W, by feeder."""
    found: dict[str, float] = {}
    for supply in supplies:
        found[supply.feeder] = found.get(supply.feeder, 0.0) + supply.uncontrolled_w
    return found
