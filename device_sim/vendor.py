"""Readings in the documents of other makers' gateways.

Names, units, signs and habits are the vendor's: Fronius counts load negative and sends null for
panels at night, Tesla's state of charge is on the gateway's raw scale.
"""

import zlib
from datetime import UTC, datetime
from typing import Any

import msgspec

from schemas.assets import Device
from schemas.bodies import NativeBody, VendorBody

_VENDOR_OF_MODEL = {
    "powerwall2": "tesla_gateway",
    "powerwall3": "tesla_gateway",
    "gen24_storage": "fronius",
    "symo_metered": "fronius",
    "symo": "fronius",
    "envoy": "enphase",
}
_FIRMWARE = {
    "tesla_gateway": ("21.39.1", "23.44.0", "24.36.2"),
    "fronius": ("1.28.7-1", "1.33.7-1"),
    "enphase": ("D5.0.62", "D7.6.175", "D8.2.127"),
}
_OWN_FIRMWARE = ("1.0.3", "1.1.0")


def vendor_of(device: Device, share: float, seed: int) -> str | None:
    """The vendor whose form this device uses; None = the native form.

    About ``share`` (0..1) of the devices whose maker has a form of its own use it.
    """
    draw = zlib.crc32(f"{seed}:{device.device_id}".encode()) / 2**32
    return _VENDOR_OF_MODEL.get(device.model) if draw < share else None


def firmware_of(device: Device, vendor: str | None) -> str:
    """A firmware version; a device always has the same."""
    versions = _FIRMWARE.get(vendor or "", _OWN_FIRMWARE)
    return versions[zlib.crc32(device.device_id.encode()) % len(versions)]


def render(vendor: str, body: NativeBody) -> VendorBody:
    """A reading in the vendor's form."""
    document = _RENDER[vendor](body)
    return VendorBody(vendor, msgspec.Raw(msgspec.json.encode(document)), body.t, body.iv)


def _tesla_gateway(body: NativeBody) -> dict[str, Any]:
    """``meters/aggregates`` with ``soe`` and ``grid_status`` merged in."""
    stamp = _time(body.t).isoformat(timespec="milliseconds")

    def meter(power_w: float | None) -> dict[str, Any]:
        return {
            "last_communication_time": stamp,
            "instant_power": power_w,
            "instant_average_voltage": body.v,
            "frequency": body.hz or 0,
            "timeout": 1_500_000_000,
        }

    return {
        "site": meter(body.g),
        "battery": meter(body.p),
        "load": meter(body.l),
        "solar": meter(body.pv),
        "percentage": None if body.soc is None else round(5 + 95 * body.soc, 4),
        "grid_status": "SystemIslandedActive" if body.isl else "SystemGridConnected",
    }


def _fronius(body: NativeBody) -> dict[str, Any]:
    """Document of ``GetPowerFlowRealtimeData``."""
    inverter: dict[str, Any] = {"DT": 1, "P": body.pv}
    if body.soc is not None:
        inverter |= {"SOC": round(100 * body.soc, 2), "Battery_Mode": "normal"}
    # Null without a meter would leave nothing measured at all: the site would not report all night.
    asleep = not body.pv and body.g is not None
    site = {
        "Mode": "produce-only" if body.g is None else "bidirectional",
        "P_Grid": body.g,
        "P_Load": None if body.l is None else -body.l,
        "P_Akku": body.p,
        "P_PV": None if asleep else body.pv,
        "Meter_Location": "unknown" if body.g is None else "grid",
    }
    status = {"Code": 0, "Reason": "", "UserMessage": ""}
    stamp = _time(body.t).isoformat(timespec="seconds")
    return {
        "Head": {"RequestArguments": {}, "Status": status, "Timestamp": stamp},
        "Body": {"Data": {"Inverters": {"1": inverter}, "Site": site, "Version": "12"}},
    }


def _enphase(body: NativeBody) -> dict[str, Any]:
    """``production.json`` of an Envoy with production and consumption meters."""

    def meter(measured: str, power_w: float | None) -> dict[str, Any]:
        return {
            "type": "eim",
            "activeCount": 1,
            "measurementType": measured,
            "readingTime": body.t // 1000,
            "wNow": power_w,
            "rmsVoltage": body.v,
        }

    return {
        "production": [
            {"type": "inverters", "activeCount": 16, "readingTime": body.t // 1000, "wNow": 0},
            meter("production", body.pv),
        ],
        "consumption": [meter("total-consumption", body.l), meter("net-consumption", body.g)],
        "storage": [{"type": "acb", "activeCount": 0, "readingTime": 0, "wNow": 0}],
    }


_RENDER = {"tesla_gateway": _tesla_gateway, "fronius": _fronius, "enphase": _enphase}


def _time(t_ms: int) -> datetime:
    return datetime.fromtimestamp(t_ms / 1000, UTC)
