"""Sites and devices as a test writes them, and the columns of a fleet partition made of them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vpp_streams.domain.fleet.rollup import (
    Latest,
    Ratings,
)

NOW_MS = 1_763_855_000_000
SILENT_AFTER_MS = 10_000
NAN = math.nan
REGIONS = ("north", "south")


@dataclass(frozen=True)
class Unit:
    """A device: its rating, and its newest reading of this age."""

    age_ms: int = 500
    battery_w: float = 0.0
    grid_w: float = 0.0
    solar_w: float = 0.0
    load_w: float = 0.0
    soc: float = 0.5
    energy_wh: float = 10_000.0
    charge_w: float = 5_000.0
    discharge_w: float = 5_000.0


@dataclass(frozen=True)
class Home:
    """A site: its devices, the index of its region, its reserve and connection limits."""

    units: tuple[Unit, ...] = (Unit(),)
    region: int = 0
    reserve: float = 0.2
    export_limit_w: float = math.inf
    import_limit_w: float = math.inf


def columns(homes: Sequence[Home]) -> tuple[Latest, Ratings]:
    """Return the newest readings and the ratings of all devices, as columns."""
    units = [(i, unit) for i, home in enumerate(homes) for unit in home.units]

    def column(name: str) -> np.ndarray:
        return np.array([getattr(unit, name) for _, unit in units], np.float64)

    at = np.array([NOW_MS - unit.age_ms for _, unit in units], np.int64)
    powers = {n: column(n) for n in ("battery_w", "grid_w", "solar_w", "load_w", "soc")}
    region = np.array([home.region for home in homes], np.int32)
    return (
        Latest(measured_at_ms=at, received_at_ms=at + 100, **powers),
        Ratings(
            site=np.array([i for i, _ in units], np.int32),
            rated_energy_wh=column("energy_wh"),
            rated_charge_w=column("charge_w"),
            rated_discharge_w=column("discharge_w"),
            region=region,
            backup_reserve=np.array([home.reserve for home in homes], np.float64),
            export_limit_w=np.array([home.export_limit_w for home in homes], np.float64),
            import_limit_w=np.array([home.import_limit_w for home in homes], np.float64),
            regions=REGIONS,
            sites_expected=np.bincount(region[region >= 0], minlength=len(REGIONS)),
        ),
    )
