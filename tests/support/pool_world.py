"""One fleet partition with batteries that do as they are told: control without Kafka or sockets."""

from collections.abc import Iterable
from typing import Any

from schemas.assets import Device, Site
from schemas.bounds import PARTITIONS
from schemas.commands import CommandEvent, CommandFrame, CommandState, command_id
from schemas.dispatch import Dispatch, Share
from schemas.grid import Alert, Droop
from schemas.presence import Presence
from tests.support.telemetry_factory import NAN, make_batch
from vpp_streams.domain.control.command_rows import CommandRows
from vpp_streams.domain.control.lease import LeasePolicy
from vpp_streams.domain.control.orders import Orders
from vpp_streams.domain.control.pool import Pool, View
from vpp_streams.domain.fleet.frames import Frame, Policy
from vpp_streams.domain.fleet.partition import FleetPartition
from vpp_streams.domain.fleet.twins import Batch
from vpp_streams.domain.registry.hashing import partition_of
from vpp_streams.domain.registry.registry import Registry

T0 = 1_800_000_000_000
SITE_IDS = [s for s in (f"home-{i:04}" for i in range(400)) if partition_of(s, PARTITIONS) == 0]
POLICY = LeasePolicy()


def home(i: int, region: str = "north", feeder: str | None = None, **fields: Any) -> Site:
    """A home of 13.5 kWh, 5 kW and 20 % reserve unless told otherwise."""
    site_id = SITE_IDS[i]
    device = Device(
        f"{site_id}-pw",
        "powerwall",
        rated_energy_wh=fields.pop("energy_wh", 13_500.0),
        rated_charge_w=fields.pop("charge_w", 5_000.0),
        rated_discharge_w=fields.pop("discharge_w", 5_000.0),
    )
    return Site(site_id, region, (device,), feeder=feeder, **fields)


class OnePartition:
    """The fleet's view of some homes, and simple batteries behind it."""

    def __init__(self, sites: Iterable[Site], policy: LeasePolicy = POLICY) -> None:
        self.sites = list(sites)
        self.now_ms = T0
        self.registry = Registry(self.sites)
        self.fleet = FleetPartition(0, "telemetry", self.registry, Policy())
        self.rows = CommandRows(0, self.fleet.twins, policy)
        self.pool = Pool(self.fleet, self.rows)
        self.orders = Orders(self.pool)
        self.frames: list[CommandFrame] = []
        self.alerts: list[Alert] = []
        self.soc = {site.site_id: 0.8 for site in self.sites}
        self.power_w = {site.site_id: 0.0 for site in self.sites}
        self.load_w = {site.site_id: 500.0 for site in self.sites}
        self.islanded: set[str] = set()
        self.silent: set[str] = set()
        """Sites that say nothing any more."""
        self.clock_ms = 0
        """How far the devices' clocks are ahead."""
        self._seq = 0

    def connect(
        self, *site_ids: str, epoch: int = 7, slot: int = 0, measures_only: bool = False
    ) -> None:
        """These sites' devices (all, if none is named) connect."""
        for site_id in site_ids or [s.site_id for s in self.sites]:
            record = Presence(
                f"{site_id}-pw",
                site_id,
                "connected",
                slot,
                self.now_ms,
                measures_only=measures_only,
            )
            self.rows.presence(record, epoch)

    def disconnect(self, site_id: str, epoch: int = 7) -> None:
        record = Presence(f"{site_id}-pw", site_id, "disconnected", 0, self.now_ms, epoch=epoch)
        self.rows.presence(record, epoch + 1)

    def measure(self, after_ms: int = 1000) -> None:
        """Time passes, and every home that is not silent tells what it does."""
        self.now_ms += after_ms
        rows = [
            {
                "device_id": f"{s.site_id}-pw",
                "site_id": s.site_id,
                "seq": self._seq,
                "measured_at_ms": self.now_ms + self.clock_ms - 100,
                "received_at_ms": self.now_ms - 50,
                "battery_w": self.power_w[s.site_id],
                "load_w": self.load_w[s.site_id],
                "solar_w": 0.0,
                "grid_w": self.load_w[s.site_id] - self.power_w[s.site_id],
                "soc": self.soc[s.site_id],
                "frequency_hz": NAN,
                "islanded": int(s.site_id in self.islanded),
            }
            for s in self.sites
            if s.site_id not in self.silent
        ]
        self._seq += 1
        if rows:
            self.fleet.apply(Frame(self._seq, Batch.of(make_batch(rows))))

    def look(self) -> View:
        return self.pool.view_at(self.now_ms, self.alerts)

    def order(
        self,
        export_w: float | None,
        region: str = "north",
        for_ms: int = 900_000,
        droop: Droop | None = None,
        uncontrolled_w: float | None = None,
        **feeders: float,
    ) -> list[CommandFrame]:
        """Carry out a share (None = release); by feeder where some are named."""
        shares = None
        if export_w is not None:
            shares = tuple(
                Share(f, w, uncontrolled_w) for f, w in (feeders or {"": export_w}).items()
            )
        dispatch = Dispatch(
            region=region,
            partition=0,
            request_id="r1",
            issued_at_ms=self.now_ms,
            asked_at_ms=self.now_ms,
            until_ms=self.now_ms + (for_ms if shares is not None else 0),
            shares=shares,
            droop=droop,
        )
        self.orders.expect(dispatch)
        frames = self.orders.carry_out(dispatch, self.look())
        self.frames += frames
        return frames

    def answer(
        self, frames: Iterable[CommandFrame], state: CommandState = "accepted", reason: str = ""
    ) -> None:
        """Every device of these frames answers; those that accept do what they were asked."""
        for frame in frames:
            for row in frame.rows:
                self.tell(row.device_id, frame.rank, state, reason, epoch=row.epoch)
                if state == "accepted":
                    self.power_w[row.device_id.removesuffix("-pw")] = row.setpoint_w or 0.0

    def tell(
        self, device_id: str, rank: int, state: CommandState, reason: str = "", epoch: int = 7
    ) -> None:
        self.rows.apply_event(
            CommandEvent(
                device_id=device_id,
                command_id=command_id(0, rank),
                state=state,
                at_ms=self.now_ms,
                epoch=epoch,
                reason=reason,
            )
        )


def asked(frames: Iterable[CommandFrame]) -> dict[str, float | None]:
    """Device -> setpoint of these frames."""
    return {row.device_id: row.setpoint_w for frame in frames for row in frame.rows}
