"""The SunSpec registers of a simulated hybrid inverter: a battery, panels, and a meter.

Two makes are known. "der" has the models of IEEE 1547-2018 (701 to 714) and is commanded by 704;
"hybrid" has the older ones (103, 124, 160), as inverters of the 2010s, and is commanded by 124. The
pure part: registers from values, and what a write asks for.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sunspec2 import device

Make = Literal["der", "hybrid"]
BASE = 40000
_MARK, _END = b"SunS", b"\xff\xff\x00\x00"
_PV, _ESS = 0, 1
_DC_MODULES = ("MPPT 1", "MPPT 2", "StCha 3", "StDisCha 4")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratings:
    """What is on the nameplate."""

    energy_wh: float
    charge_w: float
    discharge_w: float
    solar_w: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What the inverter measures now. Powers in W: battery + = discharge, grid + = import."""

    battery_w: float
    solar_w: float
    grid_w: float
    soc: float
    hz: float
    volts: float

    @property
    def ac_w(self) -> float:
        """Power out of the inverter."""
        return self.battery_w + self.solar_w


@dataclass(frozen=True, slots=True)
class Order:
    """A power to hold for some seconds; ``of_ac``: of the inverter, else of the battery."""

    power_w: float
    seconds: int
    of_ac: bool


class Registers:
    """The register map of one inverter."""

    def __init__(self, make: Make, ratings: Ratings, serial: str) -> None:
        self.make, self.ratings = make, ratings
        self.sun_is_silent = False
        """Whether the power of the panels is not measured at present (make "der")."""
        common = _model(1, Mn="VPP", Md=f"simulated {make}", Vr="1.0", SN=serial, DA=1)
        made = _der(ratings) if make == "der" else _hybrid(ratings)
        self._models = [common, *made, _model(203, W_SF=0, Hz_SF=-2, V_SF=-1, A_SF=-1, PF_SF=-2)]
        self._by_id = {model.model_id: model for model in self._models}

    def measure(self, now: Measured) -> None:
        """Show what is measured."""
        meter = self._by_id[203]
        _set(meter, W=now.grid_w, Hz=now.hz, PhV=now.volts, PhVphA=now.volts)
        if self.make == "der":
            _set(self._by_id[701], W=now.ac_w, Hz=now.hz, LNV=now.volts, ConnSt=1, DERMode=1)
            _set(self._by_id[713], SoC=100 * now.soc, WHAvail=now.soc * self.ratings.energy_wh)
            solar, battery = self._by_id[714].groups["Prt"]
            _set(solar, DCW=now.solar_w)
            if self.sun_is_silent:
                solar.points["DCW"].value = None
            _set(battery, DCW=now.battery_w)
            return
        _set(self._by_id[103], W=now.ac_w, Hz=now.hz, PhVphA=now.volts, St=4)
        _set(self._by_id[124], ChaState=100 * now.soc)
        powers = (now.solar_w, 0.0, max(-now.battery_w, 0.0), max(now.battery_w, 0.0))
        for module, power_w in zip(self._by_id[160].groups["module"], powers, strict=True):
            _set(module, DCW=power_w)

    def read(self, address: int, count: int) -> list[int] | None:
        """Registers from an address on; None = there are none."""
        data = b"".join([_MARK, *(model.get_mb() for model in self._models), _END])
        words = struct.unpack(f">{len(data) // 2}H", data)
        first = address - BASE
        if first < 0 or first + count > len(words):
            return None
        return list(words[first : first + count])

    def write(self, address: int, words: Sequence[int]) -> bool:
        """Write registers of a model that takes commands; False = those cannot be written."""
        for model, first in self._placed():
            offset = address - first
            if model.model_id in (704, 124) and 0 <= offset <= model.len - len(words):
                data = bytearray(model.get_mb())
                struct.pack_into(f">{len(words)}H", data, 2 * offset, *words)
                model.set_mb(bytes(data))
                return True
        return False

    def covers(self, address: int, count: int, model_id: int) -> bool:
        """Whether a request reads the whole of a model."""
        return any(
            model.model_id == model_id and address <= first and first + model.len <= address + count
            for model, first in self._placed()
        )

    def order(self) -> Order | None:
        """The power that the registers ask for; None = the inverter's own mode."""
        if self.make == "der":
            model = self._by_id[704]
            if model.WSetEna.value != 1 or model.WSetMod.value != 1:
                return None
            return Order(float(model.WSet.cvalue), int(model.WSetRvrtTms.value), of_ac=True)
        model = self._by_id[124]
        if model.StorCtl_Mod.value != 0b11:
            return None
        # Both limits at one power leave the battery no other.
        out_w = model.OutWRte.cvalue / 100 * self.ratings.discharge_w
        least_w = -model.InWRte.cvalue / 100 * self.ratings.charge_w
        power_w = out_w if out_w < 0 else least_w
        return Order(float(power_w), int(model.InOutWRte_RvrtTms.value), of_ac=False)

    def without_timer(self) -> None:
        """Be a device that does not implement the timer of its commands."""
        timers = {"der": (704, "WSetRvrtTms"), "hybrid": (124, "InOutWRte_RvrtTms")}
        model_id, point = timers[self.make]
        self._by_id[model_id].points[point].value = None

    def revert(self) -> None:
        """What the inverter's own timer does at its end."""
        if self.make == "der":
            _set(self._by_id[704], WSetEna=0)
        else:
            _set(self._by_id[124], StorCtl_Mod=0)

    def _placed(self) -> list[tuple[device.Model, int]]:
        """Each model with the address of its first register."""
        found, address = [], BASE + len(_MARK) // 2
        for model in self._models:
            found.append((model, address))
            address += model.len
        return found


def _der(ratings: Ratings) -> list[device.Model]:
    most_w = ratings.discharge_w + ratings.solar_w
    nameplate = _model(
        702,
        W_SF=0,
        WMaxRtg=most_w,
        WChaRteMaxRtg=ratings.charge_w,
        WDisChaRteMaxRtg=ratings.discharge_w,
    )
    command = _model(
        704, WSet_SF=0, WSetEna=0, WSetMod=1, WSet=0, WSetRvrt=0, WSetEnaRvrt=0, WSetRvrtTms=0
    )
    storage = _model(713, WH_SF=1, Pct_SF=-2, WHRtg=ratings.energy_wh)
    ports = device.Model(714, data={"NPrt": 2, "Prt": [{"PrtTyp": _PV}, {"PrtTyp": _ESS}]})
    _set(ports, DCW_SF=0)
    return [_model(701, W_SF=0, Hz_SF=-3, V_SF=-1), nameplate, command, storage, ports]


def _hybrid(ratings: Ratings) -> list[device.Model]:
    nameplate = _model(
        120,
        WRtg_SF=1,
        WHRtg_SF=1,
        MaxChaRte_SF=1,
        MaxDisChaRte_SF=1,
        WRtg=ratings.discharge_w,
        WHRtg=ratings.energy_wh,
        MaxChaRte=ratings.charge_w,
        MaxDisChaRte=ratings.discharge_w,
    )
    storage = _model(
        124,
        WChaMax_SF=0,
        ChaState_SF=-2,
        InOutWRte_SF=-2,
        WChaMax=ratings.charge_w,
        StorCtl_Mod=0,
        OutWRte=100,
        InWRte=100,
        InOutWRte_RvrtTms=0,
        ChaGriSet=0,
    )
    modules = device.Model(160, data={"N": 4, "module": [{"IDStr": name} for name in _DC_MODULES]})
    _set(modules, DCW_SF=0, N=4)
    return [_model(103, W_SF=0, Hz_SF=-2, V_SF=-1), nameplate, storage, modules]


def _model(model_id: int, **values: float | str) -> device.Model:
    model = device.Model(model_id)
    # Scale factors first: the others are stored by them.
    factors = {name: value for name, value in values.items() if name.endswith("_SF")}
    _set(model, **factors)
    _set(model, **{name: value for name, value in values.items() if name not in factors})
    return model


def _set(group: device.Group, **values: float | str) -> None:
    for name, value in values.items():
        point = group.points[name]
        if isinstance(value, str):
            point.value = value
            continue
        scale = 0
        if point.sf is not None:
            holder = group.points.get(point.sf) or group.model.points.get(point.sf)
            scale = holder.value or 0
        point.value = round(value / 10.0**scale)
