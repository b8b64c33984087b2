"""Batteries, connections and leases without weather or sockets, for tests of control."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from device_sim.home import Surroundings
from device_sim.plant import Plant
from edge import battery
from edge.battery import BatteryState
from edge.connection import Connection
from edge.leases import LEASE, as_lease
from schemas.protocol import Setpoint

T0 = 1_763_856_000_000
EPOCH = 7


def each(value: float, rows: int) -> np.ndarray:
    """Return a column with this value in every row."""
    return np.full(rows, value, np.float64)


class Homes:
    """Homes that are all alike; a step is a second in which nothing happens unless told."""

    def __init__(
        self,
        rows: int = 1,
        *,
        soc: float = 0.6,
        reserve: float = 0.2,
        load_w: float = 1000.0,
        export_w: float = np.inf,
        import_w: float = np.inf,
        rated_w: float = 5000.0,
    ) -> None:
        spec = battery.typical(each(13_500, rows), each(rated_w, rows), each(rated_w, rows))
        self.plant = Plant(
            spec,
            BatteryState(each(soc, rows), each(20.0, rows)),
            Connection(each(export_w, rows), each(import_w, rows)),
            each(reserve, rows),
        )
        self.leases = self.plant.leases
        self.now_ms = T0
        self.rows = rows
        self.load_w = each(load_w, rows)
        self.hz = each(60.0, rows)
        self.islanded = np.zeros(rows, bool)
        self._rank = 0

    def lease(self, p: float | None, row: int = 0, **fields: Any) -> str:
        """Offer a lease of 30 s from now on that the device accepts; returns its id."""
        self._rank += 1
        id_ = f"c0-{self._rank}"
        answer = self.leases.offer(
            row, id_, setpoint(p, self._rank, self.now_ms, **fields), self.now_ms, EPOCH
        )
        assert answer.status == "accepted", answer
        return id_

    def step(self, dt_s: float = 1.0, times: int = 1) -> np.ndarray:
        """Batteries' power after so many steps, W."""
        for _ in range(times):
            self.now_ms += round(dt_s * 1000)
            around = Surroundings(
                each(0, self.rows), self.load_w, each(20.0, self.rows), self.islanded
            )
            spare = np.where(self.plant.battery.soc > self.plant.reserve + 0.001, self.load_w, 0.0)
            self.plant.step(np.full(self.rows, self.now_ms), around, spare, self.hz, dt_s)
        return self.plant.flows.battery_w

    def reports(self, row: int = 0) -> list[tuple[str, str, str]]:
        """(command id, state, reason) of what this device told since last asked."""
        return [(s.id, s.state, s.reason) for r, s in self.leases.take_reports() if r == row]


def setpoint(p: float | None, rank: int = 1, now_ms: int = T0, **fields: Any) -> Setpoint:
    """A lease of 30 s, free to step, unless told otherwise."""
    values = {
        "epoch": EPOCH,
        "rank": rank,
        "p": p,
        "not_before": now_ms,
        "valid_until": now_ms + 30_000,
        "ramp_w_s": 1e6,
    }
    return Setpoint(**{**values, **fields})


def as_leases(id_: str, setpoints: Sequence[Setpoint]) -> np.ndarray:
    """Leases by columns, as `Leases.grant` takes them."""
    return np.array([as_lease(id_, each) for each in setpoints], LEASE)
