"""Homes, awards and terms that the tests of settlement share."""

from collections.abc import Mapping, Sequence
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import pyarrow as pa

from schemas.assets import Device, Site
from schemas.grid import Alert
from schemas.market import Award, Delivery
from schemas.programs import Enrolment, OptOut, Program
from schemas.windows import PowerStats, SiteWindow
from vpp_streams.domain.arrays import Floats
from vpp_streams.domain.settle.agreements import Agreements, Enrolled
from vpp_streams.domain.settle.attribution import Delivered, from_no_battery
from vpp_streams.domain.settle.fleet import Fleet
from vpp_streams.domain.settle.intervals import Energies
from vpp_streams.domain.settle.periods import Books

START = 1_763_856_000_000
"""Sunday, 23 November 2025, 00:00 UTC."""
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
INTERVAL = 5 * MINUTE
BERLIN = ZoneInfo("Europe/Berlin")
BOOKS = Books(BERLIN)
SHARE_60 = Program(
    program_id="share-60",
    version=1,
    name="Revenue share",
    currency="EUR",
    effective_from_ms=0,
    owner_share=0.6,
)


def home(site_id: str, **changes: Any) -> Site:
    device = Device(
        f"{site_id}-battery",
        "powerwall",
        rated_energy_wh=13_500,
        rated_charge_w=5_000,
        rated_discharge_w=5_000,
        rated_solar_w=6_000,
    )
    site = Site(site_id, "north", (device,), export_limit_w=10_000, import_limit_w=20_000)
    return msgspec.structs.replace(site, **changes)


def fleet(*site_ids: str) -> Fleet:
    return Fleet.of("north", map(home, site_ids))


def terms(program: Program = SHARE_60, **changes: Any) -> Program:
    return msgspec.structs.replace(program, **changes)


def enrolled(site_ids: Sequence[str], *programs: Program, at_ms: int = START) -> Enrolled:
    """All of these sites, in turn in each of the programs."""
    known = Agreements()
    for program in programs or (SHARE_60,):
        assert known.apply(program) is None
    for number, site_id in enumerate(site_ids):
        program = (programs or (SHARE_60,))[number % max(len(programs), 1)]
        assert known.apply(Enrolment(site_id=site_id, program_id=program.program_id,
                                     effective_from_ms=0)) is None  # fmt: skip
    return known.columns(site_ids, at_ms)


def opt_out(
    site_id: str, from_ms: int, until_ms: int | None, announced_ms: int = 0, request_id: str = ""
) -> OptOut:
    return OptOut(
        site_id=site_id,
        from_ms=from_ms,
        until_ms=until_ms,
        announced_ms=announced_ms,
        request_id=request_id,
        decided_at_ms=announced_ms,
    )


def award(start_ms: int = START, **changes: Any) -> Award:
    fields: dict[str, Any] = {
        "bid_id": f"sim:north:{start_ms}",
        "market": "sim",
        "region": "north",
        "start_ms": start_ms,
        "interval_ms": INTERVAL,
        "cleared_at_ms": max(start_ms - MINUTE, 0),
        "energy_w": 6_000.0,
        "prices": {"energy": 100.0},
        "currency": "EUR",
    }
    return Award(**(fields | changes))


def delivery(of: Award, measured_w: float, **changes: Any) -> Delivery:
    """A delivery whose money is for its energy."""
    money = measured_w * of.prices["energy"] / 1e6 * of.interval_ms / HOUR
    fields: dict[str, Any] = {
        "bid_id": of.bid_id,
        "market": of.market,
        "region": of.region,
        "start_ms": of.start_ms,
        "interval_ms": of.interval_ms,
        "awarded_w": of.energy_w,
        "measured_w": measured_w,
        "coverage": 1.0,
        "money": money,
        "currency": of.currency,
        "metered_at": of.metered_at,
    }
    return Delivery(**(fields | changes))


def energies(battery_wh: Sequence[float], coverage: Sequence[float] | None = None) -> Energies:
    """Homes without load or solar power: the connection has what the battery gives."""
    battery = np.array(battery_wh, np.float64)
    covered = np.where(np.isnan(battery), 0.0, 1.0) if coverage is None else np.array(coverage)
    revision = np.where(covered > 0, 0, -1)
    nothing = np.where(np.isnan(battery), np.nan, 0.0)
    return Energies(battery, -battery, nothing, nothing, covered, revision)


def delivered(battery_wh: Sequence[float], coverage: Sequence[float] | None = None) -> Delivered:
    return from_no_battery(energies(battery_wh, coverage))


def everybody(count: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
    return np.ones(count, bool)


def storm(from_ms: int = 0, until_ms: int = HOUR, **changes: Any) -> Alert:
    """A storm in the north, from and until some time after `START`."""
    fields: dict[str, Any] = {
        "alert_id": "storm",
        "kind": "storm",
        "regions": ("north",),
        "prepare_from_ms": START + from_ms,
        "starts_at_ms": START + from_ms,
        "ends_at_ms": START + until_ms,
    }
    return Alert(**(fields | changes))


def site_window(
    site_id: str,
    start_ms: int,
    battery_wh: float | None,
    grid_wh: float | None = None,
    **changes: Any,
) -> SiteWindow:
    fields: dict[str, Any] = {
        "window_id": f"{site_id}|60|{start_ms}",
        "site_id": site_id,
        "region": "north",
        "start_ms": start_ms,
        "size_s": 60,
        "revision": 0,
        "readings": 60,
        "coverage": 1.0,
        "battery": stats(battery_wh),
        "grid": stats(grid_wh),
    }
    return SiteWindow(**(fields | changes))


def stats(energy_wh: float | None) -> PowerStats | None:
    if energy_wh is None:
        return None
    mean_w = energy_wh * 60
    return PowerStats(energy_wh, max(energy_wh, 0), max(-energy_wh, 0), mean_w, mean_w, mean_w)


def amounts(entries: pa.RecordBatch, kind: str = "share") -> dict[str, int]:
    """Site (or "") -> what its entries of a kind came to, micros, + = to the site or operator."""
    found: dict[str, int] = {}
    for row in entries.to_pylist():
        if row["kind"] == kind:
            to = row["credit"].startswith(("site:", "operator"))
            signed = row["amount_micros"] if to else -row["amount_micros"]
            found[row["site_id"]] = found.get(row["site_id"], 0) + signed
    return found


def summed(balances: Mapping[str, int], prefix: str) -> int:
    return sum(amount for name, amount in balances.items() if name.startswith(prefix))


def floats(*values: float) -> Floats:
    return np.array(values, np.float64)
