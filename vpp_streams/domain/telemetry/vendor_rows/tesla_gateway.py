"""Tesla's gateway: ``meters/aggregates``, with the state of charge and grid status merged in."""

from collections.abc import Sequence

import msgspec
import numpy as np

from edge.vendor_fields.ages import MAX_LAG_MS
from edge.vendor_fields.tesla_gateway import ISLANDED, WITHHELD
from vpp_streams.domain.arrays import Floats, Mask
from vpp_streams.domain.telemetry.vendor_rows.checked_columns import Measured
from vpp_streams.domain.telemetry.vendor_rows.times import times_of


class Meter(msgspec.Struct, gc=False):
    """The meters of one place, summed."""

    instant_power: float | None = None
    last_communication_time: str | None = None
    frequency: float | None = None
    instant_average_voltage: float | None = None
    num_meters_aggregated: int | None = None


class Document(msgspec.Struct, gc=False):
    """The usual document. What is None by its type belongs to others, which are not read here."""

    site: Meter
    battery: Meter | None = None
    solar: Meter | None = None
    load: Meter | None = None
    percentage: float | None = None
    grid_status: str | None = None
    system_island_state: None = None
    battery_blocks: None = None
    nominal_full_pack_energy: None = None


_NO_METER = Meter()
_UNKNOWN = -1
_ISLANDED = {status: int(islanded) for status, islanded in ISLANDED.items()}


def measured(documents: Sequence[Document]) -> Measured:
    """What the documents say; usual are those whose meters have all been read within a minute."""
    n = len(documents)
    meters = {
        "grid_w": [d.site for d in documents],
        "battery_w": [d.battery or _NO_METER for d in documents],
        "solar_w": [d.solar or _NO_METER for d in documents],
        "load_w": [d.load or _NO_METER for d in documents],
    }
    powers = {name: _power_w(found) for name, found in meters.items()}
    is_known = {name: ~np.isnan(power_w) for name, power_w in powers.items()}
    usual = ~_all_zero(powers, is_known)
    newest, oldest = np.full(n, -1), np.full(n, np.iinfo(np.int64).max)
    for name, found in meters.items():
        time_ms = times_of([meter.last_communication_time for meter in found])
        usual &= ~is_known[name] | (time_ms >= 0)
        newest = np.where(is_known[name], np.maximum(newest, time_ms), newest)
        oldest = np.where(is_known[name], np.minimum(oldest, time_ms), oldest)
    usual &= newest - np.minimum(oldest, newest) <= MAX_LAG_MS
    percentage = np.array([d.percentage for d in documents], np.float64)
    usual &= is_known["grid_w"] | ~np.isnan(percentage)  # or it is not recognized
    status = [d.grid_status for d in documents]
    return Measured(
        {
            **powers,
            "soc": _soc(percentage),
            "frequency_hz": _frequency_hz(meters["grid_w"], meters["battery_w"]),
            "voltage_v": _voltage_v(meters["grid_w"]),
        },
        newest,
        np.zeros(n, np.bool_),
        usual,
        np.array([_ISLANDED.get(s, _UNKNOWN) if s else _UNKNOWN for s in status]),
    )


def _power_w(meters: Sequence[Meter]) -> Floats:
    power_w = np.array([meter.instant_power for meter in meters], np.float64)
    installed = [meter.num_meters_aggregated for meter in meters]
    if 0 in installed:
        power_w[[number == 0 for number in installed]] = np.nan
    return power_w


def _all_zero(powers: dict[str, Floats], is_known: dict[str, Mask]) -> Mask:
    """Whether everything is exactly 0: the gateway has read none of its meters yet."""
    zero: Mask = (powers["grid_w"] == 0) & (powers["load_w"] == 0)
    for name in ("battery_w", "solar_w"):
        zero &= ~is_known[name] | (powers[name] == 0)
    return zero


def _soc(percentage: Floats) -> Floats:
    raw = percentage / 100
    soc = (raw - WITHHELD) / (1 - WITHHELD)
    return np.where(raw >= 0, np.maximum(soc, 0.0), soc)


def _frequency_hz(site: Sequence[Meter], battery: Sequence[Meter]) -> Floats:
    site_hz = np.array([meter.frequency for meter in site], np.float64)
    battery_hz = np.array([meter.frequency for meter in battery], np.float64)
    return np.where(site_hz > 0, site_hz, battery_hz)


def _voltage_v(site: Sequence[Meter]) -> Floats:
    volts = np.array([meter.instant_average_voltage for meter in site], np.float64)
    believed = ((volts >= 100) & (volts <= 140)) | ((volts >= 219) & (volts <= 260))
    return np.where(believed, volts, np.nan)
