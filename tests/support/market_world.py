"""A market and an optimizer as processes of their own, and regions that are simulated by a test.

As a program (``python -m tests.support.market_world optimizer``) it is the optimizer with a simple
stand-in for the decision: what is tested is that bids come in time and once, not how good they are.
"""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np

from schemas.market import Bid, CapacityOffer, EnergyOffer, PlanView, Step
from tests.support.paths import ROOT
from vpp_streams.domain.market.cycle_inputs import CycleInputs
from vpp_streams.domain.market.decision.autobidder import Autobidder
from vpp_streams.domain.market.decision.fallback import safe_bid
from vpp_streams.market.optimizer import run_optimizer
from vpp_streams.process.logs import set_up_logs
from vpp_streams.settings import Settings, load_settings

SHARE = 0.5
"""Of its power that a region offers."""


class SellsWhenDear(Autobidder):
    """Sells above the median of the prices so far, and buys below their lower quartile."""

    def decide(
        self, inputs: CycleInputs, clock: Callable[[], float], deadline_s: float
    ) -> tuple[Bid, PlanView | None]:
        began_s = clock()
        bid = safe_bid(inputs, ())
        if inputs.storage is None or not len(inputs.history.energy):
            return bid, None
        recent = inputs.history.energy[-288:]
        low, middle = (float(np.percentile(recent, q)) for q in (25, 50))
        up_w, down_w = SHARE * inputs.storage.discharge_w, SHARE * inputs.storage.charge_w
        plan = PlanView(
            market=bid.market,
            region=bid.region,
            made_at_ms=inputs.now_ms,
            start_ms=inputs.start_ms,
            interval_ms=bid.interval_ms,
            power_w=(up_w,) * 3,
            stored_wh=(inputs.stored_wh or 0.0,) * 3,
            price=(middle,) * 3,
            currency=bid.currency,
        )
        made = msgspec.structs.replace(
            bid,
            rung="value_rule",
            up_w=2 * up_w,
            down_w=2 * down_w,
            energy=EnergyOffer(-down_w, (Step(low + 0.01, 0.0), Step(middle + 0.02, up_w))),
            capacity=(CapacityOffer("reg_up", 0.1 * up_w + 1.0, 1.0),),
            solve_ms=(clock() - began_s) * 1000,
        )
        return made, plan


class Processes:
    """The market and the optimizer, to be killed and started again."""

    def __init__(self, settings: Settings, log_dir: Path) -> None:
        self._settings = settings
        self._log_dir = log_dir
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        log_dir.mkdir(parents=True, exist_ok=True)

    def start(self, role: str) -> None:
        words = ("vpp_streams", "market") if role == "market" else ("tests.support.market_world",)
        environment = {
            **os.environ,
            "VPP_KAFKA": self._settings.kafka,
            "VPP_NAMESPACE": self._settings.namespace,
            "VPP_STATE_DIR": str(self._settings.state_dir),
            "VPP_MARKET_INTERVAL_S": str(self._settings.market_interval_s),
            "VPP_MARKET_GATE_S": str(self._settings.market_gate_s),
        }
        with (self._log_dir / f"{role}.log").open("ab") as out:
            self.running[role] = subprocess.Popen(
                [sys.executable, "-m", *words], cwd=ROOT, env=environment, stdout=out, stderr=out
            )

    def kill(self, role: str) -> None:
        """As a crash does."""
        process = self.running.pop(role)
        process.send_signal(signal.SIGKILL)
        process.wait()

    def kill_all(self) -> None:
        for role in list(self.running):
            self.kill(role)


def main() -> None:
    """Run the optimizer."""
    settings = load_settings()
    set_up_logs(settings)
    asyncio.run(run_optimizer(settings, SellsWhenDear))


if __name__ == "__main__":
    main()
