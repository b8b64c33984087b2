"""EMHASS on the homes and tariffs of `benchmarks.home_plan`, on the same days.

EMHASS is no dependency of this project. Install it in an environment of its own and run from the
root of the repository:

    python3.11 -m venv /tmp/emhass && /tmp/emhass/bin/pip install emhass==0.18.7
    /tmp/emhass/bin/python -m benchmarks.home_plan_emhass --days 28 --json emhass.json
    .venv/bin/python -m benchmarks.home_plan --emhass emhass.json

Each hour, `perform_naive_mpc_optim` plans the next 36 h from the actual state of charge, with the
tariff as `benchmarks.home_plan` knows it, wear as the weight of discharge, cost function "profit",
and the binary variables of its default. Its forecasts are either ours (the mean), or its own
"naive" ones (as a day before); in both, the first step is mixed half and half with the last
measurement, as EMHASS does by default. The planned battery power is held until the next plan. The
energy wanted at the end is its default, as at the start ("same"), or the reserve ("low").
"""

import argparse
import json
import logging
import time
from pathlib import Path

import emhass
import numpy as np
import pandas as pd
from emhass.optimization import Optimization

from benchmarks.home_plan_cases import cases
from benchmarks.home_plan_walk import HORIZON_H, WARM_DAYS, Case, Rule, walk
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

    def power_w(self, soc: float, ahead: pd.DataFrame, end: str) -> Floats:
        """The planned battery power by step, W, + = discharge."""
        started = time.perf_counter()
        done = self._optimization.perform_naive_mpc_optim(
            ahead, ahead["pv"], ahead["load"], len(ahead),
            soc_init=soc, soc_final=soc if end == "same" else self._reserve,
        )  # fmt: skip
        self.spent_s.append(time.perf_counter() - started)
        planned: Floats = done["P_batt"].to_numpy(float)
        return planned


def rule_of(case: Case, forecast: str, end: str) -> tuple[Rule, Emhass]:
    """The rule that asks EMHASS each step."""
    recorded, planner = case.recorded, Emhass(case)
    per_day = recorded.per_day
    horizon = HORIZON_H * per_day // 24
    load, solar = recorded.filled()
    ours, monday = Forecaster(per_day), recorded.first_weekday * per_day
    for past in range(WARM_DAYS * per_day):
        ours.observe(monday + past, recorded.load_w[past], recorded.solar_w[past])

    def powers(step: int) -> tuple[Floats, Floats]:
        if forecast == "naive":
            at = step - per_day + np.arange(horizon) % per_day
            return load[at], solar[at]
        return ours.expected(monday + step, horizon)

    planned_w = np.zeros(0)

    def rule(step: int, stored_wh: float) -> float:
        nonlocal planned_w
        if (done := step % (per_day // 24)) and len(planned_w):
            return float(planned_w[done])
        tariff = case.known_prices(step)
        for past in range(max(step - per_day // 24, WARM_DAYS * per_day), step):
            ours.observe(monday + past, recorded.load_w[past], recorded.solar_w[past])
        load_w, solar_w = powers(step)
        # Only the first step is mixed; the copies keep the recorded columns as they are.
        load_w, solar_w = load_w.copy(), solar_w.copy()
        load_w[0] = 0.5 * (load_w[0] + load[step - 1])
        solar_w[0] = 0.5 * (solar_w[0] + solar[step - 1])
        index = pd.date_range(
            "2024-01-01", periods=horizon, freq=f"{int(tariff.step_s)}s", tz="UTC"
        )
        columns = {"load": load_w, "pv": solar_w, "buy": tariff.buy, "sell": tariff.sell}
        ahead = pd.DataFrame(columns, index=index[: len(tariff.buy)])
        soc = min(max(stored_wh / case.home.energy_wh, case.home.reserve_soc), 1.0)
        planned_w = planner.power_w(soc, ahead, end)
        return float(planned_w[0])

    return rule, planner


def main() -> None:
    """Walk all cases; write the cost of each day."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--days", type=int, default=28)
    options.add_argument("--json", type=Path, required=True)
    options.add_argument("--forecast", choices=["ours", "naive"], nargs="+", default=["ours"])
    options.add_argument("--end", choices=["same", "low"], nargs="+", default=["low"])
    args = options.parse_args()
    found = json.loads(args.json.read_text()) if args.json.exists() else []
    for case in cases():
        for forecast in args.forecast:
            for end in args.end:
                rule, planner = rule_of(case, forecast, end)
                done = walk(case, rule, args.days)
                row = {
                    "home": case.recorded.name,
                    "tariff": case.tariff_name,
                    "forecast": forecast,
                    "end": end,
                    "days": args.days,
                    "cost": done.cost(args.days, case.worth_per_kwh),
                    "median_ms": 1e3 * float(np.median(planner.spent_s)),
                }
                found.append(row)
                print(row["home"], row["tariff"], forecast, end, f"{row['cost']:.2f}", flush=True)
                args.json.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
