"""An IQ Gateway's documents, in the shape of recorded ones: a home by noon that charges."""

from typing import Any

PRODUCTION, CONSUMPTION, STORAGE = 704643328, 704643584, 704643840
NOON_S = 1_800_000_000


def meter(eid: int, kind: str, **others: Any) -> dict[str, Any]:
    """An entry of ``/ivp/meters``."""
    return {
        "eid": eid,
        "state": "enabled",
        "measurementType": kind,
        "phaseMode": "split",
        "phaseCount": 2,
        "meteringStatus": "normal",
        "statusFlags": [],
        **others,
    }


def channel(power_w: float, voltage_v: float = 120.0, **others: Any) -> dict[str, Any]:
    """One phase of a meter."""
    counted = {"actEnergyDlvd": 1000.5, "actEnergyRcvd": 12.25} if voltage_v else {}
    return {
        "eid": 1778385169,
        "timestamp": NOON_S,
        "actEnergyDlvd": 0.0,
        "actEnergyRcvd": 0.0,
        **counted,
        "activePower": power_w,
        "voltage": voltage_v,
        "freq": 60.0,
        **others,
    }


def reading(eid: int, power_w: float, **others: Any) -> dict[str, Any]:
    """An entry of ``/ivp/meters/readings``."""
    half = [channel(power_w / 2), channel(power_w / 2), channel(0.0, 0.0)]
    return {
        "eid": eid,
        "timestamp": NOON_S,
        "actEnergyDlvd": 2001.0,
        "actEnergyRcvd": 24.5,
        "activePower": power_w,
        "voltage": 240.0,
        "freq": 60.0,
        "channels": half,
        **others,
    }


def battery(serial: str, **others: Any) -> dict[str, Any]:
    """An IQ Battery of the inventory."""
    return {
        "serial_num": serial,
        "last_rpt_date": NOON_S - 120,
        "communicating": True,
        "percentFull": 62,
        "encharge_capacity": 5000,
        **others,
    }


def relay(state: str = "closed", **others: Any) -> dict[str, Any]:
    """The relay to the grid in the inventory."""
    return {
        "serial_num": "r1",
        "last_rpt_date": NOON_S - 5,
        "communicating": True,
        "mains_oper_state": state,
        **others,
    }


def security(**others: Any) -> dict[str, Any]:
    """``/ivp/ensemble/secctrl`` of two batteries."""
    known = {"agg_soc": 62, "ENC_agg_soc": 62, "ACB_agg_soc": 0, "Max_energy": 10_000}
    return {**known, "Enc_max_available_capacity": 10_000, **others}


def inverter(power_w: float, **others: Any) -> dict[str, Any]:
    """A microinverter's last report."""
    return {"lastReportDate": NOON_S - 200, "devType": 1, "lastReportWatts": power_w, **others}


def home() -> dict[str, Any]:
    """A home with three meters and two batteries, by path."""
    return {
        "/ivp/meters": [
            meter(PRODUCTION, "production"),
            meter(CONSUMPTION, "net-consumption"),
            meter(STORAGE, "storage"),
        ],
        "/ivp/meters/readings": [
            reading(PRODUCTION, 3000),
            reading(CONSUMPTION, -500),
            reading(STORAGE, -1700),
        ],
        "/ivp/ensemble/power": {
            "devices:": [
                {"serial_num": "b1", "real_power_mw": -800_000, "soc": 61},
                {"serial_num": "b2", "real_power_mw": -810_000, "soc": 63},
            ]
        },
        "/ivp/ensemble/secctrl": security(),
        "/ivp/ensemble/inventory": [
            {"type": "ENCHARGE", "devices": [battery("b1"), battery("b2")]},
            {"type": "ENPOWER", "devices": [relay()]},
        ],
        "/api/v1/production/inverters": [inverter(290), inverter(300)],
    }
