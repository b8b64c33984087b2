"""What is checked when a home is set up, without I/O: measurements and times to findings.

`edge.commissioning.check` reads the hardware, applies the pulses and prints.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from edge.driver import QUANTITIES, Quantity

Outcome = Literal["ok", "failed", "not tried"]
Sample = dict[Quantity, float]
"""The values that were measured at one moment."""

BALANCE_W, BALANCE = 100.0, 0.05
"""Powers that differ by less than this, W, or this share of the greatest, are in balance."""
_TELLING_W = 100.0
"""A power that is smaller says nothing about its sign."""
PULSE_W = 500.0
NEAR_W = 100.0
"""A pulse is answered if the battery's power is this close to it, W."""
ANSWER_MS = 10_000
"""A pulse has to be answered within this time."""
GIVE_UP_MS = 25_000
"""A battery that has not answered a pulse after this time is not waited for."""
CLOCK_MS = 5_000
"""The largest difference between this computer's clock and the gateway's."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one step."""

    step: str
    outcome: Outcome
    seen: str
    """What was seen, and what was expected if that is something else."""
    what_to_do: str = ""


def failed(step: str, seen: str, what_to_do: str) -> Finding:
    """A step that failed."""
    return Finding(step, "failed", seen, what_to_do)


def typical(samples: Sequence[Sample]) -> Sample:
    """The median of each quantity: meters are read at slightly different moments."""
    names = {name for sample in samples for name in sample}
    return {name: median(s[name] for s in samples if name in s) for name in names}


def quantities(now: Sample) -> Finding:
    """Which quantities are measured; state of charge and battery power are needed to control."""
    there = ", ".join(f"{name} {now[name]:g}" for name in sorted(now))
    if not now:
        return failed("quantities", "nothing is measured", "check [driver] and the inverter's log")
    soc = now.get("soc", 0.5)
    if not 0.0 <= soc <= 1.0:
        seen = f"soc {soc:g}, expected a fraction from 0 to 1"
        return failed("quantities", seen, "check the driver's scale of the state of charge")
    missing = ", ".join(sorted(QUANTITIES - now.keys())) or "nothing"
    return Finding("quantities", "ok", f"{there}; not measured: {missing}")


def balance(now: Sample) -> Finding:
    """Whether load = solar + battery + grid; if not, whether a sign explains it."""
    needed: tuple[Quantity, ...] = ("load_w", "solar_w", "battery_w", "grid_w")
    if missing := [name for name in needed if name not in now]:
        return Finding("balance", "not tried", f"{', '.join(missing)} is not measured")
    load_w, solar_w, battery_w, grid_w = (now[name] for name in needed)
    limit_w = max(BALANCE_W, BALANCE * max(abs(now[name]) for name in needed))
    off_w = load_w - solar_w - battery_w - grid_w
    sums = f"load {load_w:.0f} W, solar + battery + grid {load_w - off_w:.0f} W"
    if abs(off_w) <= limit_w:
        return Finding("balance", "ok", f"{sums}, within {limit_w:.0f} W")
    turned: dict[str, float] = {
        "battery_w": -2 * battery_w,
        "grid_w": -2 * grid_w,
        "battery_w and grid_w": -2 * (battery_w + grid_w),
        "solar_w": -2 * solar_w,
    }
    found = [name for name, more_w in turned.items() if abs(off_w - more_w) <= limit_w]
    seen = f"{sums}, expected within {limit_w:.0f} W"
    if found:
        seen += f"; it would be in balance with the sign of {found[0]} reversed"
        return failed("balance", seen, "reverse that sign: battery + = discharge, grid + = import")
    return failed("balance", seen, "check where each meter sits, and its scale")


def signs(now: Sample) -> Finding:
    """Whether each power has a sign that it can have."""
    wrong = [f"{name} {now[name]:.0f} W" for name in ("solar_w", "load_w")
             if now.get(name, 0.0) < -_TELLING_W]  # fmt: skip
    if wrong:
        seen = f"{', '.join(wrong)}, expected 0 or more"
        return failed("signs", seen, "reverse that sign in the driver's options")
    small = [name for name in ("battery_w", "grid_w") if abs(now.get(name, 0.0)) < _TELLING_W]
    later = f"; {', '.join(small)} too small to tell, see the pulses" if small else ""
    return Finding("signs", "ok", f"solar and load are not negative{later}")


def clock(ahead_ms: float, round_trip_ms: float | None) -> Finding:
    """This computer's clock against the gateway's; ``ahead_ms`` > 0 = this one is ahead."""
    trip = "no answer to a ping" if round_trip_ms is None else f"round trip {round_trip_ms:.0f} ms"
    words = "ahead of" if ahead_ms > 0 else "behind"
    seen = f"{abs(ahead_ms) / 1000:.1f} s {words} the gateway's clock, {trip}"
    if abs(ahead_ms) > CLOCK_MS:
        expected = f"{seen}, expected within {CLOCK_MS / 1000:g} s"
        return failed(
            "clock", expected, "switch on time synchronisation (timedatectl set-ntp true)"
        )
    return Finding("clock", "ok", seen)


def obstacle(power_w: float, soc: float, reserve: float) -> str:
    """Why the home would not hold a power, W; it is already known that it would not."""
    if soc <= reserve + 0.01:
        less = "" if power_w > 0 else ", and the battery charges as much as that needs"
        return f"the state of charge, {soc:.1%}, is at the reserve, {reserve:.0%}{less}"
    if power_w < 0 and soc >= 0.99:
        return f"the battery is full ({soc:.1%})"
    return "a limit of the battery or of the grid connection leaves no room for it"


class Pulse:
    """A power, W, + = discharge, that the battery has to reach; times are monotonic, ms."""

    def __init__(self, power_w: float, before: Sample, began_ms: int) -> None:
        self.step = f"pulse {power_w:+.0f} W"
        self._power_w, self._before, self._began_ms = power_w, before, began_ms
        self._near = 0
        self._reached_ms = 0
        self._furthest_w = self._last_w = before["battery_w"]

    def measured(self, now: Sample, now_ms: int) -> Finding | None:
        """Take a measurement; the finding once there is one."""
        if "battery_w" in now:
            self._note(now["battery_w"], now_ms)
            if self._near == 2:
                return self._answered(now)
        if now_ms - self._began_ms < GIVE_UP_MS:
            return None
        return self._unanswered()

    def _note(self, battery_w: float, now_ms: int) -> None:
        is_near = abs(battery_w - self._power_w) <= NEAR_W
        if is_near and not self._near:
            self._reached_ms = now_ms - self._began_ms
        self._near = self._near + 1 if is_near else 0
        self._last_w = battery_w
        before_w = self._before["battery_w"]
        if abs(battery_w - before_w) > abs(self._furthest_w - before_w):
            self._furthest_w = battery_w

    def _answered(self, now: Sample) -> Finding:
        took = f"{now['battery_w']:.0f} W after {self._reached_ms / 1000:.1f} s"
        if self._reached_ms > ANSWER_MS:
            seen = f"{took}, expected within {ANSWER_MS / 1000:g} s"
            return failed(self.step, seen, "look for a slow ramp in the inverter's settings")
        return self._grid_follows(now, took) or Finding(self.step, "ok", took)

    def _grid_follows(self, now: Sample, took: str) -> Finding | None:
        """The finding if the grid meter has moved the same way as the battery; None = it has not.

        What the battery gives more, the grid gives less, as long as load and solar stay.
        """
        if "grid_w" not in now or "grid_w" not in self._before:
            return None
        battery_w = now["battery_w"] - self._before["battery_w"]
        grid_w = now["grid_w"] - self._before["grid_w"]
        if abs(battery_w) < 3 * _TELLING_W or abs(grid_w - battery_w) > abs(battery_w) / 4:
            return None
        seen = f"{took}, and grid_w moved by {grid_w:+.0f} W with it, expected {-battery_w:+.0f} W"
        return failed(self.step, seen, "reverse the sign of grid_w: + = import")

    def _unanswered(self) -> Finding:
        seen = f"battery {self._last_w:.0f} W, expected {self._power_w:.0f} W"
        # A battery that had about that power before the pulse, and kept it, went nowhere.
        moved_w = abs(self._furthest_w - self._before["battery_w"])
        if abs(self._furthest_w + self._power_w) <= min(NEAR_W, moved_w):
            words = "reverse the sign of the battery's power: + = discharge"
            return failed(self.step, f"{seen}: it went the other way", words)
        words = "is remote control enabled in the inverter, and is nothing else controlling it?"
        return failed(self.step, f"{seen}, within {GIVE_UP_MS / 1000:g} s", words)


def all_well(findings: Iterable[Finding]) -> bool:
    """Whether no step failed."""
    return all(finding.outcome != "failed" for finding in findings)
