"""Sums of windows as SQL: over a report's periods, and over each day once it is complete.

Every sum is of measured values. Beside it stands how much was covered: of a site in windows (a
window that is covered completely is 1), of a region in windows of sites. ``expected`` is what a
coverage of 1 would be.
"""

from collections.abc import Mapping
from dataclasses import dataclass

POWERS = ("battery", "grid", "solar", "load")
ENERGIES: Mapping[str, tuple[str, str]] = {
    "battery_discharge_wh": ("battery", "positive_wh"),
    "battery_charge_wh": ("battery", "negative_wh"),
    "grid_import_wh": ("grid", "positive_wh"),
    "grid_export_wh": ("grid", "negative_wh"),
    "solar_wh": ("solar", "energy_wh"),
    "load_wh": ("load", "energy_wh"),
}
"""Column of a report: the power, and the energy of its windows."""


@dataclass(frozen=True, slots=True)
class WindowSums:
    """How windows of a kind are added up."""

    kind: str
    subject: tuple[str, ...]
    """Columns that name what the sums are of."""
    sums: Mapping[str, str]
    """Sum by its name, as SQL over windows."""

    def of_windows(self) -> str:
        """The sums over windows, for a SELECT."""
        return ", ".join(f"{sql} AS {name}" for name, sql in self.sums.items())

    def of_sums(self) -> str:
        """The sums over sums."""
        return ", ".join(f"sum({name}) AS {name}" for name in self.sums)


def _site_sums() -> dict[str, str]:
    energies = {name: f"sum({power}_{energy})" for name, (power, energy) in ENERGIES.items()}
    covered = {
        f"{power}_covered": f"coalesce(sum(coverage) FILTER ({power}_energy_wh IS NOT NULL), 0)"
        for power in POWERS
    }
    counts = {
        "windows": "count(*)::DOUBLE",
        "expected": "count(*)::DOUBLE",
        "covered": "sum(coverage)",
    }
    return counts | energies | covered


def _region_sums() -> dict[str, str]:
    # Older versions do not say how many sites measured a power: then its coverage is that of all.
    measured = "coalesce(sums_{0}_sites, sums_sites_reporting) > 0"
    energies = {
        name: f"sum(sums_{power}_{energy}) FILTER ({measured.format(power)})"
        for name, (power, energy) in ENERGIES.items()
    }
    # The sites that measured it, each with the mean coverage of those that report.
    covered = {
        f"{power}_covered": f"coalesce(sum(coalesce(sums_{power}_sites, sums_sites_reporting)"
        " * sums_coverage_sum / nullif(sums_sites_reporting, 0)), 0)"
        for power in POWERS
    }
    counts = {
        "windows": "count(*)::DOUBLE",
        "expected": "sum(sums_sites_expected)::DOUBLE",
        "covered": "sum(sums_coverage_sum)",
    }
    return counts | energies | covered


SITES = WindowSums("site_windows", ("region", "site_id"), _site_sums())
REGIONS = WindowSums("region_windows", ("region",), _region_sums())
SUMMED = {sums.kind: sums for sums in (SITES, REGIONS)}
