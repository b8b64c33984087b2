"""The leases of a fleet's devices: leased setpoints as columns, one row per device.

A device accepts only the newest rank, holds one lease (and knows one that begins later), and ends
it by itself. Times are of the gateway's clock as each device estimates it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.arrays import Floats, Ints, Mask
from edge.droop import Droops
from edge.ladder import Decision, Orders
from schemas.grid import Droop
from schemas.protocol import CommandStatus, DeviceCommandState, Prices, Setpoint, SetpointResult

Lease = NDArray[np.void]
"""Of dtype `LEASE`."""

LEASE = np.dtype(
    [
        ("command_id", object),
        ("stands", bool),  # accepted, and not ended
        ("applied", bool),  # power is as close to the setpoint as it can be
        ("setpoint_w", np.float64),
        ("not_before_ms", np.int64),
        ("valid_until_ms", np.int64),
        ("ramp_w_s", np.float64),
        ("soc_min", np.float64),
        ("prices", bool),  # after it prices decide, or else self-consumption
        ("nominal_hz", np.float64),  # of its droop; NaN = none
        ("dead_band_hz", np.float64),
        ("droop", np.float64),
    ]
)
FALL_BACK_MS = 60_000
"""After this long, ms, nothing of an ended lease remains, however slow its ramp."""
_NEAR, _NEAR_W = 0.02, 50.0
"""A setpoint is reached within this share of it, or within this many watts."""
LIMITED_W = 1.0
"""A power that differs by more than this, W, from what was wanted was limited."""
_NO_DROOP = Droop(nominal_hz=60.0)
_AT_ONCE = Setpoint(epoch=0, rank=0, p=0.0, not_before=0, valid_until=0, ramp_w_s=np.inf)


def as_lease(command_id: str, setpoint: Setpoint) -> tuple[Any, ...]:
    """A setpoint as one element of dtype `LEASE`."""
    droop = setpoint.droop or _NO_DROOP
    return (
        command_id,
        True,
        False,
        setpoint.p,
        setpoint.not_before,
        setpoint.valid_until,
        setpoint.ramp_w_s,
        setpoint.soc_min,
        setpoint.fallback == "prices",
        np.nan if setpoint.droop is None else droop.nominal_hz,
        droop.dead_band_hz,
        droop.droop,
    )


@dataclass(frozen=True, slots=True)
class _SharedReport:
    """The same report for several devices."""

    rows: NDArray[np.intp]
    ids: list[str]
    state: DeviceCommandState
    at_ms: Ints
    power_w: Floats
    reason: str


def is_near(power_w: Floats, goal_w: Floats, setpoint_w: Floats) -> Mask:
    """Whether a power is close enough to its goal, for the size of the setpoint; all W."""
    return np.abs(power_w - goal_w) <= np.maximum(_NEAR * np.abs(setpoint_w), _NEAR_W)


class Leases:
    """The leases of all rows. Each step of the fleet calls `orders`, then `moved`."""

    def __init__(self, has_battery: Mask, take_prices: Callable[[int, Prices], None]) -> None:
        """``take_prices`` receives the row and each price series that a device is sent."""
        rows = len(has_battery)
        self.take_prices = take_prices
        self.has_battery = has_battery
        self.refuses = np.zeros(rows, bool)
        """Devices that reject every setpoint."""
        self.opted_out = np.zeros(rows, bool)
        """Devices whose owners want no setpoint at present."""
        self.islanded = np.zeros(rows, bool)
        self.unmeasured = np.zeros(rows, bool)
        """Devices that do not know their own state, so that they cannot keep their reserve."""
        self.held = np.full(rows, np.array(as_lease("", _AT_ONCE), LEASE))
        self.held["stands"] = False
        self._coming = self.held.copy()
        self.falling = np.zeros(rows, bool)
        """Devices whose power returns from a lease at its ramp."""
        self.power_w = np.zeros(rows)
        self._base_w = np.zeros(rows)
        """Power without the part of frequency response, W."""
        self._rank = np.full(rows, -1, np.int64)
        self._last_id = [""] * rows
        self._reports: list[_SharedReport] = []

    def of(self, row: int) -> "LeaseOf":
        """The view of one device."""
        return LeaseOf(self, row)

    def offer(
        self, row: int, command_id: str, setpoint: Setpoint, now_ms: int, epoch: int | None
    ) -> SetpointResult:
        """Answer a command for a device whose newest connection is ``epoch``."""
        if command_id == self._last_id[row]:
            return SetpointResult("duplicate")
        if setpoint.epoch != epoch:
            return SetpointResult("stale_epoch")
        if setpoint.rank <= self._rank[row]:
            return SetpointResult("superseded")
        if now_ms >= setpoint.valid_until:
            return SetpointResult("expired")
        if objection := self._objection(row):
            return SetpointResult("rejected", objection)
        self._rank[row], self._last_id[row] = setpoint.rank, command_id
        now, rows = np.array([now_ms]), np.array([row])
        self._end(self._coming, rows, "superseded", now)
        if setpoint.p is None:
            self._end(self.held, rows, "superseded", now)
            self.held["prices"][row] = setpoint.fallback == "prices"
            self._report(rows, [command_id], "completed", now)
        else:
            self._coming[row] = as_lease(command_id, setpoint)
        return SetpointResult("accepted")

    def grant(self, rows: NDArray[np.intp], lease: Lease, now_ms: Ints) -> None:
        """Give these rows leases directly, a complete fleet at once: for studies in process."""
        self._end(self._coming, rows, "superseded", now_ms)
        self._coming[rows] = lease

    def last_command(self, row: int) -> str:
        """Id of the newest command that the device accepted; "" = none yet."""
        return self._last_id[row]

    def orders(self, now_ms: Ints, islanded: Mask) -> Orders:
        """The leases that hold at ``now_ms`` (by row), after every end and start until then."""
        held, coming = self.held, self._coming
        self.islanded = islanded
        for lease in (held, coming):
            self._end_where(lease, islanded, "failed", now_ms, "islanded")
            self._end_where(lease, self.unmeasured, "failed", now_ms, "unmeasured")
            self._end_where(lease, self.opted_out, "opted_out", now_ms)
        self._end_where(coming, now_ms >= coming["valid_until_ms"], "expired", now_ms)
        over = now_ms >= held["valid_until_ms"]
        self._end_where(held, over & held["applied"], "completed", now_ms)
        self._end_where(held, over, "failed", now_ms, "setpoint not reached")
        begins = coming["stands"] & (now_ms >= coming["not_before_ms"])
        self._end_where(held, begins, "superseded", now_ms)
        held[begins] = coming[begins]
        coming["stands"][begins] = False

        leased = held["stands"].copy()
        self.falling &= ~leased & ~islanded & (now_ms - held["valid_until_ms"] < FALL_BACK_MS)
        droops = Droops(
            np.where(leased, held["nominal_hz"], np.nan), held["dead_band_hz"], held["droop"]
        )
        return Orders(
            leased,
            held["setpoint_w"].copy(),
            held["soc_min"].copy(),
            np.where(leased | self.falling, held["ramp_w_s"], np.inf),
            np.where(np.isnan(droops.nominal_hz), self.power_w, self._base_w),
            droops,
        )

    @property
    def follows_prices(self) -> Mask:
        """Devices whose last lease said that prices decide after it."""
        follows: Mask = self.held["prices"]
        return follows

    def moved(
        self,
        now_ms: Ints,
        decision: Decision,
        alone_w: Floats,
        *,
        power_w: Floats,
        limited: Mask,
    ) -> None:
        """Take over the batteries' power after a step, W.

        ``limited``: a limit keeps the power from what was wanted, so it is as close as it can be.
        """
        held = self.held
        self.power_w = power_w
        without = power_w - decision.droop_w
        low, high = np.minimum(power_w, without), np.maximum(power_w, without)
        self._base_w = np.clip(decision.ramped_w, low, high)
        self.falling &= np.abs(decision.ramped_w - alone_w) > LIMITED_W
        goal_w = held["setpoint_w"] + decision.droop_w
        near = is_near(power_w, goal_w, held["setpoint_w"])
        rows = np.flatnonzero(held["stands"] & ~held["applied"] & (near | limited))
        held["applied"][rows] = True
        self._report(rows, held["command_id"][rows].tolist(), "applied", now_ms[rows])

    def take_reports(self) -> Iterator[tuple[int, CommandStatus]]:
        """(row, report) of all outcomes since the last call."""
        reports, self._reports = self._reports, []
        return (
            (row, CommandStatus(id_, each.state, at_ms, round(power_w, 1), each.reason))
            for each in reports
            for row, id_, at_ms, power_w in zip(
                each.rows.tolist(),
                each.ids,
                each.at_ms.tolist(),
                each.power_w.tolist(),
                strict=True,
            )
        )

    def _objection(self, row: int) -> str:
        if not self.has_battery[row]:
            return "no_battery"
        if self.refuses[row]:
            return "refused"
        if self.opted_out[row]:
            return "opted_out"
        if self.unmeasured[row]:
            return "unmeasured"
        return "islanded" if self.islanded[row] else ""

    def _end_where(
        self, lease: Lease, mask: Mask, state: DeviceCommandState, now_ms: Ints, reason: str = ""
    ) -> None:
        rows = np.flatnonzero(mask & lease["stands"])
        self._end(lease, rows, state, now_ms[rows], reason)

    def _end(
        self,
        lease: Lease,
        rows: NDArray[np.intp],
        state: DeviceCommandState,
        now_ms: Ints,
        reason: str = "",
    ) -> None:
        """End these leases if they hold. ``now_ms`` has one value per row of ``rows``."""
        standing = lease["stands"][rows]
        rows, now_ms = rows[standing], now_ms[standing]
        if not len(rows):
            return
        lease["stands"][rows] = False
        if lease is self.held:
            lease["valid_until_ms"][rows] = np.minimum(lease["valid_until_ms"][rows], now_ms)
            self.falling[rows] = True
        self._report(rows, lease["command_id"][rows].tolist(), state, now_ms, reason)

    def _report(
        self,
        rows: NDArray[np.intp],
        ids: list[str],
        state: DeviceCommandState,
        now_ms: Ints,
        reason: str = "",
    ) -> None:
        if len(rows):
            self._reports.append(
                _SharedReport(rows, ids, state, now_ms, self.power_w[rows], reason)
            )


@dataclass(frozen=True, slots=True)
class LeaseOf:
    """One device's leases, for its side of the protocol."""

    leases: Leases
    row: int

    def offer(
        self, command_id: str, setpoint: Setpoint, now_ms: int, epoch: int | None
    ) -> SetpointResult:
        """See `Leases.offer`."""
        return self.leases.offer(self.row, command_id, setpoint, now_ms, epoch)

    def take_prices(self, prices: Prices) -> None:
        """Store a price series of the device."""
        self.leases.take_prices(self.row, prices)

    @property
    def measures_only(self) -> bool:
        """Whether there is no battery to command."""
        return not self.leases.has_battery[self.row]

    @property
    def last_command(self) -> str:
        """Id of the newest command that the device accepted."""
        return self.leases.last_command(self.row)
