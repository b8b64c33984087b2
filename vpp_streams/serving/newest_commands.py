"""The newest command of each device with its outcome, and where reported and desired power differ.

Desired power comes from topics ``commands`` and ``command.events``, reported power from
``telemetry``: alarms compare with what devices measure, not with the fleet role's estimate.
"""

import heapq
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import isnan

from schemas.commands import (
    FINAL,
    CommandEvent,
    CommandFrame,
    CommandRow,
    CommandState,
    command_id,
    rank_of,
    step_of,
)
from schemas.dispatch import Cause
from vpp_streams.domain.control.lease import LeasePolicy, bar_of
from vpp_streams.domain.fleet.twins import SET_BACK_MS
from vpp_streams.domain.registry.registry import Registry
from vpp_streams.serving.control_views import Alarm, AlarmKind, CommandView

OFF_SHARE, OFF_W = 0.05, 100.0
"""A battery deviates from its setpoint if it is off by more than both of these."""
OFF_MS = 5_000
ANSWER_MS = 5_000
"""A connected device answers within this time."""
APPLY_MS = 5_000
"""An accepted setpoint is reached within this time and the time that its ramp takes."""
SILENT_MS = 10_000
REFUSED_LATELY_MS = 300_000
"""A refused record is an alarm for this long."""
_MAX_DEVICES = 300_000
_POLICY = LeasePolicy()
"""The fleet role's own, which says how long a device is left alone after it refused."""


@dataclass(slots=True)
class _Device:
    """A device's newest command, the setpoint it has reached, and what it measures."""

    rank: int
    frame: CommandFrame
    row: CommandRow
    state: CommandState = "created"
    state_at_ms: int = 0
    reason: str = ""
    power_w: float | None = None
    held_w: float | None = None
    """The setpoint that it has reached, W; None = none, or it is ramping to another."""
    held_from_ms: int = 0
    held_until_ms: int = 0
    battery_w: float | None = None
    measured_at_ms: int = 0
    """By the device's own clock."""
    received_at_ms: int = 0
    off_since_ms: int | None = None


class Commands:
    """Devices with a recent command; those without one for longest are dropped first."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._devices: dict[str, _Device] = {}
        self._early: dict[str, CommandEvent] = {}
        """Events that arrived before their command, which is in another topic."""
        self._suspects: set[str] = set()
        """Devices that may have an alarm."""
        self._barred: dict[str, tuple[Cause, int]] = {}
        """Devices that are not commanded for a while, by their last answer: why, and until when."""

    def __len__(self) -> int:
        return len(self._devices)

    def apply_frame(self, frame: CommandFrame) -> None:
        """Apply the commands of a frame to the devices that have no newer one."""
        for row in frame.rows:
            known = self._devices.pop(row.device_id, None)
            if known is None:
                known = _Device(frame.rank, frame, row, state_at_ms=frame.created_at_ms)
            elif known.rank < frame.rank:
                known.rank, known.frame, known.row = frame.rank, frame, row
                known.state, known.state_at_ms = "created", frame.created_at_ms
                known.reason, known.power_w = "", None
            self._devices[row.device_id] = known
            self._suspects.add(row.device_id)
            early = self._early.pop(row.device_id, None)
            if early is not None:
                self.apply_event(early)
        while len(self._devices) > _MAX_DEVICES:
            self._forget(next(iter(self._devices)))

    def apply_event(self, event: CommandEvent) -> None:
        """Apply an event of a device's newest command; events of older commands are ignored."""
        device = self._devices.get(event.device_id)
        rank = None if device is None else rank_of(event.command_id, device.frame.partition)
        if device is None or (rank is not None and rank > device.rank):
            self._keep_early(event)
            return
        if event.command_id != command_id(device.frame.partition, device.rank):
            return
        if device.state in FINAL or step_of(event.state) < step_of(device.state):
            return
        device.state, device.state_at_ms = event.state, event.at_ms
        device.reason, device.power_w = event.reason, event.power_w
        _update_held(device, event)
        self._suspects.add(event.device_id)
        if (bar := bar_of(event, _POLICY)) is not None:
            self._barred[event.device_id] = bar[0], event.at_ms + bar[1]
        elif event.state in ("accepted", "applied"):
            self._barred.pop(event.device_id, None)

    def apply_readings(
        self,
        device_ids: Iterable[str],
        measured_at_ms: Iterable[int],
        received_at_ms: Iterable[int],
        battery_w: Iterable[float],
    ) -> None:
        """Apply devices' measurements, as columns of one length; NaN = not measured."""
        columns = (device_ids, measured_at_ms, received_at_ms, battery_w)
        for device_id, at_ms, received_ms, power_w in zip(*columns, strict=True):
            device = self._devices.get(device_id)
            if device is None or not _is_newer(device, at_ms, received_ms):
                continue
            device.measured_at_ms, device.received_at_ms = at_ms, received_ms
            device.battery_w = None if isnan(power_w) else power_w
            if not _is_off(device):
                device.off_since_ms = None
            elif device.off_since_ms is None:
                device.off_since_ms = received_ms
                self._suspects.add(device_id)

    def counts(self, region: str) -> dict[str, int]:
        """The number of the region's devices by the state of their newest command."""
        devices = self._devices.values()
        return dict(Counter(d.state for d in devices if d.frame.region == region))

    def newest(
        self,
        region: str | None,
        state: str | None,
        limit: int,
        sees: Callable[[str | None, str], bool],
    ) -> list[CommandView]:
        """The ``limit`` newest commands, newest first, filtered by region and state if given.

        ``sees(site_id, region)`` returns whether a device's command may be shown.
        """
        found = (
            device
            for device in self._devices.values()
            if (region is None or device.frame.region == region)
            and (state is None or device.state == state)
            and sees(self._site_of(device.row.device_id), device.frame.region)
        )
        return [self._view(device) for device in heapq.nlargest(limit, found, key=lambda d: d.rank)]

    def of_device(self, device_id: str) -> CommandView | None:
        """A device's newest command, or None if it has no recent one."""
        device = self._devices.get(device_id)
        return None if device is None else self._view(device)

    def alarms(self, now_ms: int) -> list[Alarm]:
        """Devices whose reported power is not the desired one, the oldest alarm first."""
        found = []
        for device_id in list(self._suspects):
            device = self._devices[device_id]
            alarm = _alarm_of(device, now_ms)
            if alarm is not None:
                found.append(self._alarm(device, *alarm))
            elif device.state in (*FINAL, "applied") and device.off_since_ms is None:
                self._suspects.discard(device_id)
        return sorted(found, key=lambda a: (a.since_ms, a.device_id))

    def barred(self, now_ms: int) -> dict[str, Cause]:
        """Devices that are not commanded now because of their last answer, and why."""
        ended = [name for name, (_, until_ms) in self._barred.items() if until_ms <= now_ms]
        for name in ended:
            del self._barred[name]
        return {name: cause for name, (cause, _) in self._barred.items()}

    def _keep_early(self, event: CommandEvent) -> None:
        before = self._early.pop(event.device_id, None)
        same = before is not None and before.command_id == event.command_id
        ended = same and before is not None and before.state in FINAL  # the first end counts
        if (
            before is None
            or not same
            or (not ended and step_of(event.state) >= step_of(before.state))
        ):
            before = event
        self._early[event.device_id] = before
        if len(self._early) > _MAX_DEVICES:
            del self._early[next(iter(self._early))]

    def _forget(self, device_id: str) -> None:
        del self._devices[device_id]
        self._suspects.discard(device_id)
        self._barred.pop(device_id, None)

    def _alarm(
        self, device: _Device, kind: AlarmKind, since_ms: int, desired_w: float | None
    ) -> Alarm:
        return Alarm(
            device_id=device.row.device_id,
            site_id=self._site_of(device.row.device_id),
            region=device.frame.region,
            kind=kind,
            since_ms=since_ms,
            desired_w=desired_w,
            reported_w=device.battery_w,
            command_id=command_id(device.frame.partition, device.rank),
            request_id=device.frame.request_id,
            reason=device.reason,
        )

    def _view(self, device: _Device) -> CommandView:
        frame = device.frame
        return CommandView(
            command_id=command_id(frame.partition, frame.rank),
            device_id=device.row.device_id,
            site_id=self._site_of(device.row.device_id),
            region=frame.region,
            request_id=frame.request_id,
            state=device.state,
            state_at_ms=device.state_at_ms,
            reason=device.reason,
            created_at_ms=frame.created_at_ms,
            not_before_ms=frame.not_before_ms,
            valid_until_ms=frame.valid_until_ms,
            slot=frame.slot,
            epoch=device.row.epoch,
            desired_w=device.row.setpoint_w,
            reported_w=device.battery_w,
            measured_at_ms=device.measured_at_ms or None,
        )

    def _site_of(self, device_id: str) -> str | None:
        known = self._registry.device(device_id)
        return known[1].site_id if known else None


def _is_newer(device: _Device, measured_at_ms: int, received_at_ms: int) -> bool:
    set_back = received_at_ms > device.received_at_ms + SET_BACK_MS
    return measured_at_ms > device.measured_at_ms or set_back


def _differs(one_w: float, other_w: float) -> bool:
    return abs(one_w - other_w) > max(OFF_SHARE * abs(other_w), OFF_W)


def _update_held(device: _Device, event: CommandEvent) -> None:
    """Set the setpoint that the device has to hold after this event."""
    setpoint_w = device.row.setpoint_w
    if event.state in ("accepted", "applied") and setpoint_w is not None:
        same = device.held_w is not None and not _differs(device.held_w, setpoint_w)
        if event.state == "applied" or same:
            device.held_from_ms = device.held_from_ms if same else event.at_ms
            device.off_since_ms = device.off_since_ms if same else None
            device.held_w, device.held_until_ms = setpoint_w, device.frame.valid_until_ms
            return
    if event.state in ("routed", "delivered", "rejected"):
        return  # an older lease may still apply
    device.held_w, device.off_since_ms = None, None


def _is_off(device: _Device) -> bool:
    # Droop adds to the setpoint what the frequency requires, which is not known here.
    return (
        device.held_w is not None
        and device.battery_w is not None
        and device.frame.droop is None
        and device.held_from_ms <= device.received_at_ms < device.held_until_ms
        and _differs(device.battery_w, device.held_w)
    )


def _alarm_of(device: _Device, now_ms: int) -> tuple[AlarmKind, int, float | None] | None:
    """(kind, since when in ms, desired power in W) of a device's alarm; None = no alarm."""
    off_since_ms = device.off_since_ms
    reports = now_ms - device.received_at_ms <= SILENT_MS
    if off_since_ms is not None and now_ms < device.held_until_ms and reports:
        if device.received_at_ms - off_since_ms >= OFF_MS:
            return "deviates", off_since_ms, device.held_w
        return None
    if device.row.setpoint_w is None or now_ms >= device.frame.valid_until_ms:
        return None
    setpoint_w = device.row.setpoint_w
    created_ms = device.frame.created_at_ms
    if device.state in ("created", "routed", "delivered") and now_ms - created_ms >= ANSWER_MS:
        return "no_answer", created_ms, setpoint_w
    if device.state == "failed":
        return "failed", device.state_at_ms, setpoint_w
    if device.state == "accepted":
        starts_ms = max(device.state_at_ms, device.frame.not_before_ms)
        # At most from full charge to full discharge: twice the setpoint.
        ramp_ms = 2000 * abs(setpoint_w) / device.row.ramp_w_s if device.row.ramp_w_s else 0
        if now_ms - starts_ms >= APPLY_MS + ramp_ms:
            return "late", starts_ms, setpoint_w
    return None
