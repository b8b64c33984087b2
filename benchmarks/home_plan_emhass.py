"""EMHASS on the homes and tariffs of `benchmarks.home_plan`, on the same days.

EMHASS is no dependency of this project. Install it in an environment of its own and run from the
root of the repository:

    python3.11 -m venv /tmp/emhass && /tmp/emhass/bin/pip install emhass==0.18.7
    /tmp/emhass/bin/python -m benchmarks.home_plan_emhass --days 28 --json emhass.json
    .venv/bin/python -m benchmarks.home_plan --emhass emhass.json

Each hour, `perform_naive_mpc_optim` plans the next 36 h from the actual state of charge, with the
tariff as `benchmarks.home_plan` knows it, wear as the weight of discharge, cost function "profit",
and the binary variables of its default. Its forecasts are ours (the mean), its own "naive" ones (as
a day before), or, to check this script, the truth; the first step is mixed half and half with the
last measurement, as EMHASS does by default (the truth is not). Until the next plan, either the
planned power of the battery is held, or that of the grid, so that the battery takes what the
forecast missed. The energy wanted at the end is its default, as at the start ("same"), or the
reserve ("low").
"""

import argparse
import json
import logging
import time
from itertools import product
from pathlib import Path

import emhass
import numpy as np
import pandas as pd
from emhass.optimization import Optimization

from benchmarks.home_plan_cases import cases
from benchmarks.home_plan_walk import HORIZON_H, Case, walk
from edge.arrays import Floats
from edge.optimizer.forecaster import Forecaster

_DEFAULTS = Path(emhass.__file__).parent / "data" / "config_defaults.json"
_NO_LIMIT_W = 1e5


class Emhass:
    """EMHASS for one home."""

    def __init__(self, case: Case) -> None:
        defaults = json.loads(_DEFAULTS.read_text())
        home, step_s = case.home, case.tariff.step_s
        battery = {
            "battery_discharge_power_max": home.discharge_w / home.discharge_efficiency,
            "battery_charge_power_max": home.charge_w * home.charge_efficiency,
            "battery_discharge_efficiency": home.discharge_efficiency,
            "battery_charge_efficiency": home.charge_efficiency,
            "battery_nominal_energy_capacity": home.energy_wh,
            "battery_minimum_state_of_charge": home.reserve_soc,
            "battery_maximum_state_of_charge": 1.0,
            "battery_target_state_of_charge": home.reserve_soc,
            "maximum_power_from_grid": _NO_LIMIT_W,
            "maximum_power_to_grid": _NO_LIMIT_W,
        }
        wanted = {
            "set_use_battery": True,
            "set_use_pv": True,
            "number_of_deferrable_loads": 0,
            "set_nodischarge_to_grid": not home.battery_exports,
            "weight_battery_discharge": home.wear_per_mwh / 1e3,
            "delta_forecast_daily": HORIZON_H / 24,
            "num_threads": 1,
        }
        data = {
            "optimization_time_step": pd.to_timedelta(step_s, "s"),
            "time_zone": "UTC",
            "sensor_power_photovoltaics": "pv",
            "sensor_power_load_no_var_loads": "load",
        }
        logger = logging.getLogger("emhass")
        logger.setLevel(logging.ERROR)
        self._reserve = home.reserve_soc
        self._optimization = Optimization(
            defaults | data, defaults | wanted, defaults | battery,
            "buy", "sell", "profit", {}, logger,
        )  # fmt: skip
        self.spent_s: list[float] = []

    def planned_w(self, soc: float, ahead: pd.DataFrame, *, end: str, hold: str) -> Floats:
        """The planned power of the battery, + = discharge, or of the grid, + = import, by step."""
        started = time.perf_counter()
        done = self._optimization.perform_naive_mpc_optim(
            ahead, ahead["pv"], ahead["load"], len(ahead),
            soc_init=soc, soc_final=soc if end == "same" else self._reserve,
        )  # fmt: skip
        self.spent_s.append(time.perf_counter() - started)
        planned: Floats = done["P_batt" if hold == "battery" else "P_grid"].to_numpy(float)
        return planned


class Asker:
    """The rule that asks EMHASS each hour."""

    def __init__(self, case: Case, forecast: str, *, end: str, hold: str) -> None:
        self.planner = Emhass(case)
        self._case, self._forecast, self._end, self._hold = case, forecast, end, hold
        recorded = case.recorded
        self._per_day, self._monday = recorded.per_day, recorded.first_weekday * recorded.per_day
        self._load, self._solar = recorded.filled()
        self._ours, self._observed = Forecaster(self._per_day), 0
        self._planned_w = np.zeros(0)

    def __call__(self, step: int, stored_wh: float) -> float:
        """The battery's power, as a `benchmarks.home_plan_walk.Rule`."""
        done = step % (self._per_day // 24)
        if not done or not len(self._planned_w):
            home = self._case.home
            soc = min(max(stored_wh / home.energy_wh, home.reserve_soc), 1.0)
            self._planned_w = self.planner.planned_w(
                soc, self._ahead(step), end=self._end, hold=self._hold
            )
        planned = float(self._planned_w[done])
        if self._hold == "battery":
            return planned
        return float(self._load[step] - self._solar[step]) - planned

    def _ahead(self, step: int) -> pd.DataFrame:
        """Forecasts and prices of the next 36 h."""
        tariff = self._case.known_prices(step)
        load_w, solar_w = self._powers(step, HORIZON_H * self._per_day // 24)
        # Only the first step is mixed; the copies keep the recorded columns as they are.
        load_w, solar_w = load_w.copy(), solar_w.copy()
        if self._forecast != "true":
            load_w[0] = 0.5 * (load_w[0] + self._load[step - 1])
            solar_w[0] = 0.5 * (solar_w[0] + self._solar[step - 1])
        index = pd.date_range(
            "2024-01-01", periods=len(load_w), freq=f"{int(tariff.step_s)}s", tz="UTC"
        )
        columns = {"load": load_w, "pv": solar_w, "buy": tariff.buy, "sell": tariff.sell}
        return pd.DataFrame(columns, index=index[: len(tariff.buy)])

    def _powers(self, step: int, horizon: int) -> tuple[Floats, Floats]:
        """Load and solar power that are expected from a step on, W."""
        if self._forecast == "true":
            return self._load[step : step + horizon], self._solar[step : step + horizon]
        if self._forecast == "naive":
            at = step - self._per_day + np.arange(horizon) % self._per_day
            return self._load[at], self._solar[at]
        recorded = self._case.recorded
        for past in range(self._observed, step):
            self._ours.observe(self._monday + past, recorded.load_w[past], recorded.solar_w[past])
        self._observed = step
        return self._ours.expected(self._monday + step, horizon)


def main() -> None:
    """Walk all cases; write the cost of each day."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--days", type=int, default=28)
    options.add_argument("--json", type=Path, required=True)
    options.add_argument("--cases", type=int, nargs="+", help="numbers from 0 (all)")
    choices = ["ours", "naive", "true"]
    options.add_argument("--forecast", choices=choices, nargs="+", default=["ours"])
    options.add_argument("--hold", choices=["battery", "grid"], nargs="+", default=["grid"])
    options.add_argument("--end", choices=["same", "low"], nargs="+", default=["low"])
    args = options.parse_args()
    found = json.loads(args.json.read_text()) if args.json.exists() else []
    chosen = list(cases())
    numbers = range(len(chosen)) if args.cases is None else args.cases
    for number, forecast, end, hold in product(numbers, args.forecast, args.end, args.hold):
        case = chosen[number]
        rule = Asker(case, forecast, end=end, hold=hold)
        row = {
            "home": case.recorded.name,
            "tariff": case.tariff_name,
            "run": f"{forecast} forecast, {end} end, {hold} held",
            "days": args.days,
            "cost": walk(case, rule, args.days).cost(args.days, case.worth_per_kwh),
            "median_ms": 1e3 * float(np.median(rule.planner.spent_s)),
        }
        found.append(row)
        print(row["home"], row["tariff"], row["run"], f"{row['cost']:.2f}", flush=True)
        args.json.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
