"""A simulated fleet of homes follows a regulation signal: ``python benchmarks/agc.py``.

In process, without sockets: each 4 s the signal times what the fleet can hold is shared out by
`allocate` and becomes leases; devices step each second (``--step-s``), one step late, with the
code of `vpp sim`: leases, ramps, reserves, connections, batteries. Households switch loads on and
off all the while, and the cloud's bounds are those of the last 4 s. Prints the performance score
of moving hours (see `performance_score.moves`) with their mean signal, and what a perfect
response would score that is one step late: no fleet with such steps can do better.
"""

import argparse
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from device_sim.fleet import demo_sites
from device_sim.home import Surroundings
from device_sim.plant import Plant
from edge import battery
from edge.battery import BatteryState
from edge.connection import Connection
from edge.leases import LEASE, as_lease
from schemas.protocol import Setpoint
from vpp_streams.domain.control.allocate import allocate
from vpp_streams.domain.control.curves import Problem
from vpp_streams.domain.control.performance_score import Score, moves, performance_score

SIGNAL = Path(__file__).parents[1].parent / "shared/data/caiso_agc_4s/agc_percent_by_day.csv"
T0 = 1_763_856_000_000
TICK_S = 4
HOUR = 3600 // TICK_S
HOLD_H = 0.25
"""Bounds are what each battery could hold for this long."""
FULL_RAMP_S = 1.0
"""The ramp that `vpp_streams.domain.control.orders` requests."""
LEASE_MS = 30_000


class Homes:
    """A plant of demo homes in the evening, without sun, and the cloud's view of it."""

    def __init__(self, homes: int, seed: int) -> None:
        self.rng = rng = np.random.default_rng(seed)
        sites = demo_sites(homes, 0, 0, seed=seed)
        devices = [site.devices[0] for site in sites]
        energy, charge, discharge = (
            np.array([getattr(device, name) for device in devices])
            for name in ("rated_energy_wh", "rated_charge_w", "rated_discharge_w")
        )
        reserve = np.array([site.backup_reserve for site in sites])
        limits = [
            np.array([np.inf if limit is None else limit for limit in column])
            for column in (
                [site.export_limit_w for site in sites],
                [site.import_limit_w for site in sites],
            )
        ]
        soc = reserve + rng.uniform(0.3, 0.8, homes) * (1 - reserve)
        self.counters: Counter[str] = Counter()
        self.plant = Plant(
            battery.typical(energy, charge, discharge),
            BatteryState(soc, np.full(homes, 25.0)),
            Connection(*limits),
            reserve,
            self.counters,
        )
        self.now_ms = T0
        self.load_w = rng.uniform(150, 1500, homes)
        self._leases = np.full(homes, np.array(as_lease("agc", _LEASE), LEASE))
        self._leases["ramp_w_s"] = np.maximum(charge, discharge) / FULL_RAMP_S
        self._setpoint_w = np.zeros(homes)

    def bounds_w(self, hold_h: float = HOLD_H) -> tuple[np.ndarray, np.ndarray]:
        """(least, most) power that each battery can hold, by rating, energy and connection, W."""
        spec, state, plant = self.plant.spec, self.plant.battery, self.plant
        above, below = self._energies_wh()
        connection = plant.connection
        most = np.minimum(spec.discharge_w, above / hold_h)
        least = -np.minimum(spec.charge_w, below / hold_h)
        factor = battery.derating(state.temperature_c)
        return (
            np.maximum(least * factor, np.minimum(self.load_w - connection.import_limit_w, 0)),
            np.minimum(most * factor, self.load_w + connection.export_limit_w),
        )

    def _energies_wh(self) -> tuple[np.ndarray, np.ndarray]:
        spec, soc = self.plant.spec, self.plant.battery.soc
        above = np.maximum(soc - self.plant.reserve, 0) * spec.energy_wh
        return above * spec.discharge_efficiency, np.maximum(1 - soc, 0) * spec.energy_wh

    def command(self, total_w: float) -> float:
        """Allocate a total and lease it; returns the power that could not be allocated, W."""
        least, most = self.bounds_w()
        above, below = self._energies_wh()
        rows = len(least)
        nothing = np.zeros(rows)
        found = allocate(
            Problem(
                least, most, above, below, nothing, nothing, self._setpoint_w, nothing,
                np.zeros(rows, np.int64), np.array([-np.inf]), np.array([np.inf]),
            ),
            total_w,
        )  # fmt: skip
        self._setpoint_w = found.setpoint_w
        leases = self._leases
        leases["setpoint_w"] = found.setpoint_w
        leases["not_before_ms"] = self.now_ms
        leases["valid_until_ms"] = self.now_ms + LEASE_MS
        self.plant.leases.grant(np.arange(rows), leases, np.full(rows, self.now_ms))
        return found.missing_w

    def step(self, dt_s: float) -> float:
        """Advance the time; returns the batteries' total power, W."""
        rows, rng = len(self.load_w), self.rng
        switched = rng.random(rows) < 0.002 * dt_s
        self.load_w = np.where(switched, rng.uniform(150, 4000, rows), self.load_w)
        self.now_ms += round(dt_s * 1000)
        around = Surroundings(
            np.zeros(rows), self.load_w, np.full(rows, 25.0), np.zeros(rows, bool)
        )
        hz = np.full(rows, 60.0)
        self.plant.step(np.full(rows, self.now_ms), around, self.load_w, hz, dt_s)
        self.plant.leases.take_reports()
        return float(self.plant.flows.battery_w.sum())


_LEASE = Setpoint(epoch=0, rank=0, p=0.0, not_before=0, valid_until=0, ramp_w_s=0.0)


def moving_hours(signal: pd.DataFrame) -> list[tuple[str, np.ndarray]]:
    """(name, signal in % of capacity) of each hour with a moving signal."""
    hours = [
        (f"{day} {18 + hour}h", signal[day].to_numpy(np.float64)[hour * HOUR : (hour + 1) * HOUR])
        for day in signal
        for hour in range(4)
    ]
    return [(name, percent) for name, percent in hours if moves(percent)]


def follow(percent: np.ndarray, homes: Homes, step_s: float) -> tuple[Score, Score]:
    """Let the homes follow an hour of signal, with a capacity that they can hold throughout.

    Returns their score, and that of a perfect response one step late.
    """
    least, most = homes.bounds_w(hold_h=1.0)
    amount_w = min(most.sum(), -least.sum())
    steps = round(TICK_S / step_s)
    response = np.empty((len(percent), steps))
    homes.command(percent[0] / 100 * amount_w)
    homes.step(TICK_S)  # they continue from the hour before
    for tick, share in enumerate(percent / 100):
        for i in range(steps):
            response[tick, i] = homes.step(step_s)
            if i == 0:  # the devices had stepped when it arrived
                homes.command(share * amount_w)
    signal = np.repeat(percent / 100 * amount_w, steps)
    late = np.concatenate((signal[:1], signal[:-1]))
    return (
        performance_score(signal, response.ravel(), step_s),
        performance_score(signal, late, step_s),
    )


def scores(
    hours: list[tuple[str, np.ndarray]], homes: int, step_s: float
) -> Iterator[tuple[str, Score, Score, Counter[str]]]:
    """(hour, score, perfect score, breaches) of each hour, from a new fleet."""
    for seed, (name, percent) in enumerate(hours, 1):
        fleet = Homes(homes, seed)
        yield name, *follow(percent, fleet, step_s), fleet.counters


def main() -> None:
    """Run the hours and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--homes", type=int, default=10_000)
    parser.add_argument("--hours", type=int, default=24, help="number of hours, spread evenly")
    parser.add_argument("--step-s", type=float, default=1.0, help="how often devices step")
    wanted = parser.parse_args()
    hours = moving_hours(pd.read_csv(SIGNAL, index_col=0))
    chosen = hours[:: max(1, len(hours) // wanted.hours)][: wanted.hours]
    print(f"{len(chosen)} of {len(hours)} moving hours, {wanted.homes} homes")
    print("hour            score (perfect)  accuracy   delay precision  mean |signal| MW  breaches")
    started, all_scores = time.perf_counter(), []
    for name, s, perfect, breaches in scores(chosen, wanted.homes, wanted.step_s):
        all_scores.append(s.score)
        print(
            f"{name}  {s.score:.4f} ({perfect.score:.4f})    {s.accuracy:.4f}  {s.delay:.4f}"
            f"    {s.precision:.4f}            {s.mean_signal / 1e6:6.2f}"
            f"  {sum(breaches.values()):8d}",
            flush=True,
        )
    print(f"least {min(all_scores):.4f}, mean {np.mean(all_scores):.4f}", end="; ")
    print(f"{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
