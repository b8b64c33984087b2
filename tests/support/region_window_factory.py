"""One-minute windows of a region, with the powers that a test gives."""

from schemas.windows import EnergySums, RegionWindow, RegionWindowSums

MINUTE_MS = 60_000


def region_window(
    start_ms: int, battery_w: float, grid_w: float = 0.0, *, metered: int | None = None
) -> RegionWindow:
    """A fully measured window of ten sites, of which ``metered`` measure their connection."""
    return RegionWindow(
        window_id=f"north|60|{start_ms}",
        region="north",
        start_ms=start_ms,
        size_s=60,
        revision=0,
        coverage=1.0,
        mean_battery_w=battery_w,
        mean_grid_w=grid_w,
        mean_solar_w=None,
        mean_load_w=None,
        soc_first=None,
        soc_last=None,
        sums=RegionWindowSums(
            sites_expected=10,
            sites_reporting=10,
            readings=600,
            coverage_sum=10.0,
            battery=_energy(battery_w),
            grid=_energy(grid_w, metered),
            solar=_energy(0.0),
            load=_energy(0.0),
            stored_first_wh=0.0,
            stored_last_wh=0.0,
            usable_wh=0.0,
        ),
    )


def _energy(power_w: float, sites: int | None = None) -> EnergySums:
    energy_wh = power_w / 60
    return EnergySums(energy_wh, max(energy_wh, 0.0), max(-energy_wh, 0.0), power_w, sites)
