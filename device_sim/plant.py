"""Batteries behind their grid connections, with their leases: one step moves them all."""

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from device_sim import audit, home
from device_sim.home import Flows, Surroundings
from device_sim.prices import KnownPrices, price_response
from edge import ladder
from edge.battery import BatterySpec, BatteryState
from edge.connection import Connection
from edge.leases import LIMITED_W, Leases
from vpp_streams.domain.arrays import Floats


class Plant:
    """The state of every device's battery and leases. ``counters`` count ``breach_<limit>``."""

    def __init__(
        self,
        spec: BatterySpec,
        state: BatteryState,
        connection: Connection,
        reserve: Floats,
        counters: Counter[str] | None = None,
    ) -> None:
        self.spec = spec
        self.battery = state
        self.connection = connection
        self.reserve = reserve
        """The owners' reserves, 0..1."""
        self.prices = KnownPrices(len(reserve))
        self.leases = Leases(spec.energy_wh > 0, self.prices.take)
        self.counters = Counter() if counters is None else counters
        self.flows = Flows(*(np.zeros(len(reserve)) for _ in range(4)))

    def step(
        self,
        now_ms: NDArray[np.int64],
        around: Surroundings,
        own_w: Floats,
        hz: Floats,
        dt_s: float,
    ) -> None:
        """Advance by ``dt_s``, to ``now_ms`` (the gateway's clock as each device estimates it).

        ``own_w`` is each device's power without leases and prices, ``hz`` its measured frequency.
        """
        spec, leases = self.spec, self.leases
        orders = leases.orders(now_ms, around.islanded)
        alone_w = price_response(
            spec,
            self.battery,
            self.reserve,
            action=self.prices.action(now_ms, leases.follows_prices),
            otherwise_w=own_w,
            dt_s=dt_s,
        )
        decision = ladder.follow(
            spec, self.battery, self.reserve, orders=orders, alone_w=alone_w, hz=hz, dt_s=dt_s
        )
        since_end_ms = np.where(orders.leased, -1, now_ms - leases.held["valid_until_ms"])
        before = audit.Before(self.battery, self.flows.battery_w, orders, alone_w, since_end_ms)
        self.battery, self.flows = home.step(
            spec,
            self.battery,
            connection=self.connection,
            around=around,
            request_w=decision.request_w,
            dt_s=dt_s,
        )
        power_w = self.flows.battery_w
        limited = np.abs(power_w - decision.wanted_w) > LIMITED_W
        leases.moved(now_ms, decision, alone_w, power_w=power_w, limited=limited)
        broken = audit.breaches(
            spec,
            reserve=self.reserve,
            connection=self.connection,
            around=around,
            before=before,
            after=self.battery,
            flows=self.flows,
            dt_s=dt_s,
        )
        for name, rows in broken.items():
            if count := int(np.count_nonzero(rows)):
                self.counters[f"breach_{name}"] += count
