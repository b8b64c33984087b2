"""What SunSpec models say of a home: its identity, and one reading.

Signs: an inverter's power is + = out of it (models 10x, 701). Power on the DC side is + = into the
inverter (model 714, from its counters of injected energy). A meter at the grid connection is
+ = import, unless the owner configured that it counts the other way.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edge.driver import Identity, Quantity, Reading, Readings
from edge.drivers.sunspec_map import Values
from schemas.bodies import Quality

COMMON = 1
INVERTERS = (701, 113, 112, 111, 103, 102, 101)
METERS = (201, 202, 203, 204, 211, 212, 213, 214)
NAMEPLATES = (702, 120)
STORAGE = (713, 802, 124)
"""Models with a state of charge, the most precise first."""
DC = (714, 160)
MEASURED = (*INVERTERS, *METERS, *STORAGE, *DC)
"""Models that are read for a reading."""
_PV, _ESS = 0, 1
_DISCONNECTED, _CONNECTED = 0, 1
_GRID_FORMING = 1 << 1
_MOST_W = 1e8


@dataclass(frozen=True, slots=True)
class Powers:
    """Powers of one reading, W, with what they were derived from; None = not known."""

    ac_w: float | None
    """Of the inverter, + = out of it."""
    solar_w: float | None
    battery_w: float | None
    battery_quality: Quality
    grid_w: float | None


Models = Sequence[Values]


def first_of(models: Models, ids: Iterable[int]) -> Values | None:
    """The first of these models that the device has, in their order."""
    by_id = {values.model_id: values for values in reversed(models)}
    return next((by_id[each] for each in ids if each in by_id), None)


def storage_of(models: Models) -> Values | None:
    """The model of the device's battery; None = it has none.

    Hybrid inverters list model 124 without a battery too: its largest charge is 0 then.
    """
    values = first_of(models, STORAGE)
    if values is not None and values.model_id == 124 and values.number("WChaMax") == 0.0:
        return None
    return values


def identity_of(models: Models) -> Identity:
    """The device as it describes itself; a rating that it does not tell is 0."""
    common = first_of(models, (COMMON,))
    texts = {} if common is None else common.texts
    name = " ".join(text for key in ("Mn", "Md") if (text := texts.get(key, "")))
    has_storage = storage_of(models) is not None
    inverter_w = _rating(models, (702, "WMaxRtg"), (120, "WRtg"))
    charge_w = _rating(
        models,
        (702, "WChaRteMaxRtg"),
        (802, "WChaRteMax"),
        (124, "WChaMax"),
        (120, "MaxChaRte"),
    )
    discharge_w = _rating(
        models, (702, "WDisChaRteMaxRtg"), (802, "WDisChaRteMax"), (120, "MaxDisChaRte")
    )
    return Identity(
        model=name[:64] or "SunSpec",
        firmware=texts.get("Vr", "")[:64],
        rated_energy_wh=_rating(models, (713, "WHRtg"), (802, "WHRtg"), (120, "WHRtg")),
        rated_charge_w=(charge_w or inverter_w) if has_storage else 0.0,
        rated_discharge_w=(discharge_w or charge_w or inverter_w) if has_storage else 0.0,
        rated_solar_w=0.0 if has_storage and first_of(models, DC) is None else inverter_w,
    )


def powers_of(models: Models, *, meter_exports: bool) -> Powers:
    """The powers of one reading. ``meter_exports``: the meter counts + = export."""
    inverter, meter = first_of(models, INVERTERS), first_of(models, METERS)
    ac_w = _plausible(inverter, "W")
    grid_w = _plausible(meter, "W")
    if grid_w is not None and meter_exports:
        grid_w = -grid_w
    solar_w, battery_w = _dc_powers(models)
    quality = Quality.OK
    if storage_of(models) is None:
        if solar_w is None and ac_w is not None:
            solar_w = max(ac_w, 0.0)
        return Powers(ac_w, solar_w, None, quality, grid_w)
    if battery_w is None and ac_w is not None:
        if solar_w is not None:
            battery_w, quality = ac_w - solar_w, Quality.ESTIMATED
        elif first_of(models, DC) is None:
            battery_w = ac_w  # an inverter with a battery alone
    return Powers(ac_w, solar_w, battery_w, quality, grid_w)


def readings_of(models: Models, powers: Powers) -> Readings:
    """One reading of all that was measured; the load is derived, and so ESTIMATED."""
    found: list[Reading] = []

    def add(quantity: Quantity, value: float | None, quality: Quality = Quality.OK) -> None:
        if value is not None:
            found.append(Reading(quantity, value, quality))

    add("battery_w", powers.battery_w, powers.battery_quality)
    add("solar_w", powers.solar_w)
    add("grid_w", powers.grid_w)
    if powers.grid_w is not None and powers.ac_w is not None:
        add("load_w", max(powers.grid_w + powers.ac_w, 0.0), Quality.ESTIMATED)
    add("soc", soc_of(models))
    add("frequency_hz", _above_zero(models, ("Hz",)))
    add("voltage_v", _above_zero(models, ("LNV", "VL1", "PhVphA", "PhV")))
    add("islanded", _islanded(models))
    return tuple(found)


def soc_of(models: Models) -> float | None:
    """The battery's state of charge, 0..1."""
    if storage_of(models) is None:
        return None
    points = {713: "SoC", 802: "SoC", 124: "ChaState"}
    for model_id, point in points.items():
        values = first_of(models, (model_id,))
        percent = None if values is None else values.number(point)
        if percent is not None and 0.0 <= percent <= 100.0:
            return percent / 100.0
    return None


def _dc_powers(models: Models) -> tuple[float | None, float | None]:
    """Solar and battery power on the DC side, W."""
    if (ports := first_of(models, (714,))) is not None:
        parts = ports.groups.get("Prt", [])
        solar = [p.number("DCW") for p in parts if p.number("PrtTyp") == _PV]
        battery = [p.number("DCW") for p in parts if p.number("PrtTyp") == _ESS]
        return _sum(solar, at_least_zero=True), _sum(battery)
    if (trackers := first_of(models, (160,))) is not None:
        parts = trackers.groups.get("module", [])
        charge = [p.number("DCW") for p in parts if _is_storage(p) and not _discharges(p)]
        discharge = [p.number("DCW") for p in parts if _discharges(p)]
        solar = [p.number("DCW") for p in parts if not _is_storage(p)]
        battery_w = None
        if (into := _sum(charge)) is not None and (out := _sum(discharge)) is not None:
            battery_w = out - into
        return _sum(solar, at_least_zero=True), battery_w
    return None, None


def _is_storage(module: Values) -> bool:
    """Whether a tracker is the battery's, as hybrid inverters name them ("StCha", "StDisCha")."""
    name = module.texts.get("IDStr", "").lower()
    return name.startswith(("stcha", "stdis"))


def _discharges(module: Values) -> bool:
    return module.texts.get("IDStr", "").lower().startswith("stdis")


def _sum(parts: Sequence[float | None], *, at_least_zero: bool = False) -> float | None:
    """The sum; None if there is none, or one has no value: a part of a sum is a wrong number."""
    known = [each for each in parts if each is not None]
    if not known or len(known) < len(parts):
        return None
    total = sum(known)
    return max(total, 0.0) if at_least_zero else total


def _rating(models: Models, *where: tuple[int, str]) -> float:
    for model_id, point in where:
        values = first_of(models, (model_id,))
        rating = None if values is None else values.number(point)
        if rating is not None and 0.0 < rating < _MOST_W:
            return rating
    return 0.0


def _plausible(values: Values | None, point: str) -> float | None:
    number = None if values is None else values.number(point)
    return number if number is not None and abs(number) < _MOST_W else None


def _above_zero(models: Models, points: tuple[str, ...]) -> float | None:
    """The first of these points, of inverter or meter, that is above 0: 0 is not measured."""
    for ids in (INVERTERS, METERS):
        values = first_of(models, ids)
        number = None if values is None else values.number(*points)
        if number is not None and 0.0 < number < _MOST_W:
            return number
    return None


def _islanded(models: Models) -> float | None:
    """1 off the grid, 0 on it; only model 701 says so."""
    values = first_of(models, (701,))
    if values is None:
        return None
    connection, mode = values.number("ConnSt"), values.number("DERMode")
    if connection == _CONNECTED:
        return 0.0
    forms = mode is not None and int(mode) & _GRID_FORMING
    return 1.0 if connection == _DISCONNECTED and forms else None
