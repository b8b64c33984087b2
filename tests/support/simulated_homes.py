"""Homes of one region with batteries, the fleet partitions that know them, and their dispatch.

Everything but Kafka, sockets and Faust is the real code: device physics and leases, twins and
windows, supply curves, orders. What is coarser than in operation: a reading stands for a minute
(`interval_ms`), as that of a device which reports once a minute, and the region is dispatched once
in a market interval, with leases that last as long, not twice a second.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

import numpy as np

from device_sim.home import Surroundings
from device_sim.plant import Plant
from edge import battery
from edge.connection import Connection
from schemas.assets import Device, Site
from schemas.commands import CommandEvent, CommandFrame, CommandRow, CommandState, command_id
from schemas.dispatch import Dispatch, SupplyPartial
from schemas.presence import Presence
from schemas.protocol import Setpoint
from tests.support.ledger_world import home_of
from tests.support.telemetry_factory import NAN, make_batch
from vpp_streams.domain.arrays import Floats
from vpp_streams.domain.control.command_rows import CommandRows
from vpp_streams.domain.control.lease import LeasePolicy
from vpp_streams.domain.control.orders import Orders
from vpp_streams.domain.control.pool import Pool
from vpp_streams.domain.control.supplies import supplies
from vpp_streams.domain.fleet.frames import Frame, Outputs, Policy
from vpp_streams.domain.fleet.partition import FleetPartition
from vpp_streams.domain.fleet.twins import Batch
from vpp_streams.domain.registry.registry import Registry

MINUTE_MS = 60_000
SILENT_MS = 90_000
"""A device is gone when it has missed a report."""
LEASES = LeasePolicy(lease_ms=330_000, renew_ms=300_000, silent_after_ms=SILENT_MS)
PARTITION = 3
EPOCH = 7
LOST_A_MINUTE = 0.02
"""Chance that a home loses its connection in a minute."""
KEPT = 0.9
"""Share of its readings that such a home still has when it is back."""


def sites_of(count: int) -> list[Site]:
    """Homes of 13.5 kWh and 5 kW in one partition."""
    ids = [home_of(PARTITION, n) for n in range(count)]
    return [Site(id_, "north", (_battery(id_),), backup_reserve=0.2) for id_ in sorted(ids)]


def _battery(site_id: str) -> Device:
    return Device(
        f"{site_id}-pw",
        "powerwall",
        rated_energy_wh=13_500.0,
        rated_charge_w=5_000.0,
        rated_discharge_w=5_000.0,
        rated_solar_w=5_000.0,
    )


class Partition:
    """The fleet's view of the homes of one partition."""

    def __init__(self, number: int, registry: Registry) -> None:
        policy = Policy(silent_after_ms=SILENT_MS)
        self.fleet = FleetPartition(number, "telemetry", registry, policy)
        self.rows = CommandRows(number, self.fleet.twins, LEASES)
        self.pool = Pool(self.fleet, self.rows)
        self.orders = Orders(self.pool)

    def supply(self, now_ms: int) -> list[SupplyPartial]:
        """One cycle, as `agents.command`."""
        view = self.pool.view_at(now_ms)
        self.pool.observe(view)
        self.rows.expire(now_ms)
        return supplies(self.pool, view, self.orders.applied_ms)

    def carry_out(self, order: Dispatch, now_ms: int) -> list[CommandFrame]:
        """The commands that an order calls for."""
        self.orders.expect(order)
        return self.orders.carry_out(order, self.pool.view_at(now_ms))


class Homes:
    """Batteries that do as their leases say, and what is known of them."""

    def __init__(self, count: int, seed: int) -> None:
        self.sites = sites_of(count)
        self.registry = Registry(self.sites)
        self.partition = Partition(PARTITION, self.registry)
        self._rng = Random(seed)
        self._scale = np.array([self._rng.uniform(0.6, 1.6) for _ in self.sites])
        self._plant = _plant(count)
        self._row_of = {site.devices[0].device_id: n for n, site in enumerate(self.sites)}
        self._seq = 0
        self._offline: dict[int, int] = {}
        """Row -> how many minutes it is still offline."""
        self._held_back: dict[int, list[dict[str, Any]]] = defaultdict(list)
        """Row -> its readings while it is offline; they arrive later."""

    @property
    def breaches(self) -> int:
        """How often a battery was moved beyond its limits."""
        return sum(self._plant.counters.values())

    def connect(self, now_ms: int) -> None:
        """Every device but the last, which nobody ever hears of, connects."""
        for site in self.sites[:-1]:
            record = Presence(site.devices[0].device_id, site.site_id, "connected", 0, now_ms)
            self.partition.rows.presence(record, EPOCH)

    def perform(self, frames: Sequence[CommandFrame], now_ms: int) -> None:
        """Deliver commands; the devices' answers are applied at once."""
        for frame in frames:
            id_ = command_id(frame.partition, frame.rank)
            for row in frame.rows:
                at = self._row_of[row.device_id]
                if at in self._offline:
                    continue
                answer = self._plant.leases.offer(at, id_, _setpoint(frame, row), now_ms, EPOCH)
                state: CommandState = "accepted" if answer.status == "accepted" else "rejected"
                self._tell(at, id_, state, now_ms)

    def _tell(self, at: int, id_: str, state: CommandState, at_ms: int) -> None:
        device_id = self.sites[at].devices[0].device_id
        self.partition.rows.apply_event(
            CommandEvent(device_id=device_id, command_id=id_, state=state, at_ms=at_ms, epoch=EPOCH)
        )

    def live(self, now_ms: int) -> Iterator[Outputs]:
        """A minute that ends at ``now_ms`` passes; yields what is published of it."""
        count, hour = len(self.sites), now_ms % 86_400_000 / 3_600_000
        around = Surroundings(
            np.maximum(4_000 * np.cos((hour - 2.5) / 12 * np.pi) * self._scale, 0.0),
            400 + 900 * self._scale * (1 + np.sin((hour - 4) / 12 * np.pi)),
            np.full(count, 20.0),
            np.zeros(count, bool),
        )
        own_w = around.demand_w - around.sun_w
        at_ms = np.full(count, now_ms - 1)
        self._plant.step(at_ms, around, own_w, np.full(count, 50.0), MINUTE_MS / 1000)
        for row, status in self._plant.leases.take_reports():
            self._tell(row, status.id, status.state, status.t)
        self._come_and_go()
        live, late = self._measured(now_ms)
        if late:
            yield self._apply(late, live=False)
        yield self._apply(live, stream_time_ms=now_ms)

    def heartbeat(self, now_ms: int) -> Iterator[Outputs]:
        """Nothing is measured, and time passes: windows close."""
        yield self._apply([], stream_time_ms=now_ms)

    def _apply(self, rows: list[dict[str, Any]], **how: Any) -> Outputs:
        fleet = self.partition.fleet
        return fleet.apply(Frame(fleet.applied_offset + 1, Batch.of(make_batch(rows)), **how))

    def _measured(self, now_ms: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """The readings of this minute, and those of homes that are connected again."""
        flows, soc = self._plant.flows, self._plant.battery.soc
        live, late = [], []
        self._seq += 1
        for at, site in enumerate(self.sites[:-1]):
            reading = {
                "device_id": site.devices[0].device_id,
                "site_id": site.site_id,
                "seq": self._seq,
                "measured_at_ms": now_ms - MINUTE_MS,
                "received_at_ms": now_ms,
                "interval_ms": MINUTE_MS,
                "battery_w": float(flows.battery_w[at]),
                "grid_w": float(flows.grid_w[at]),
                "solar_w": float(flows.solar_w[at]),
                "load_w": float(flows.load_w[at]),
                "soc": float(soc[at]),
                "frequency_hz": NAN,
                "islanded": 0,
            }
            if at not in self._offline:
                live.append(reading)
                late += self._held_back.pop(at, [])
            elif self._rng.random() < KEPT:
                self._held_back[at].append(reading)
        return live, late

    def _come_and_go(self) -> None:
        """Now and then a home loses its connection for some minutes."""
        self._offline = {row: left - 1 for row, left in self._offline.items() if left > 1}
        if self._rng.random() < LOST_A_MINUTE:
            self._offline[self._rng.randrange(len(self.sites) - 1)] = self._rng.randrange(2, 25)


def _setpoint(frame: CommandFrame, row: CommandRow) -> Setpoint:
    """As a gateway delivers it."""
    return Setpoint(
        epoch=row.epoch,
        rank=frame.rank,
        p=row.setpoint_w,
        not_before=frame.not_before_ms,
        valid_until=frame.valid_until_ms,
        ramp_w_s=row.ramp_w_s,
        soc_min=row.soc_min,
    )


def _plant(count: int) -> Plant:
    def each(value: float) -> Floats:
        return np.full(count, value)

    return Plant(
        battery.typical(each(13_500.0), each(5_000.0), each(5_000.0)),
        battery.BatteryState(each(0.6), each(20.0)),
        Connection(each(np.inf), each(np.inf)),
        each(0.2),
    )
