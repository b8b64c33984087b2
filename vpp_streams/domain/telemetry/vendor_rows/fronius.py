"""Fronius Solar API v1: the power flow."""

from collections.abc import Sequence
from typing import Literal

import msgspec
import numpy as np

from edge.vendor_fields.fronius import METERED, NOT_METERED
from vpp_streams.domain.telemetry.vendor_rows.checked_columns import Measured
from vpp_streams.domain.telemetry.vendor_rows.times import times_of


class _Status(msgspec.Struct, gc=False):
    Code: Literal[0]


class _Head(msgspec.Struct, gc=False):
    Status: _Status
    Timestamp: str | None = None


class _Inverter(msgspec.Struct, gc=False):
    SOC: float | None = None


class _Site(msgspec.Struct, gc=False):
    Mode: str | None = None
    P_Akku: float | None = None
    P_Grid: float | None = None
    P_PV: float | None = None
    P_Load: float | None = None


class _Data(msgspec.Struct, gc=False):
    Site: _Site
    Inverters: dict[str, _Inverter] = {}


class _DocumentBody(msgspec.Struct, gc=False):
    Data: _Data


class Document(msgspec.Struct, gc=False):
    """An answer without an error that has the power flow."""

    Head: _Head
    Body: _DocumentBody


def measured(documents: Sequence[Document]) -> Measured:
    """What the documents say; usual are those of at most one battery."""
    n = len(documents)
    data = [document.Body.Data for document in documents]
    sites = [one.Site for one in data]
    mode = [site.Mode for site in sites]
    metered = np.array([m != NOT_METERED for m in mode], np.bool_)
    estimated = np.array([m not in METERED and m != NOT_METERED for m in mode], np.bool_)
    grid_w = np.array([site.P_Grid for site in sites], np.float64)
    consumed_w = np.array([site.P_Load for site in sites], np.float64)
    inverters = [one.Inverters for one in data]
    single = np.array([len(found) < 2 for found in inverters], np.bool_)
    percent = [next(iter(found.values())).SOC if found else None for found in inverters]
    return Measured(
        {
            "battery_w": np.array([site.P_Akku for site in sites], np.float64),
            "grid_w": np.where(metered, grid_w, np.nan),
            "solar_w": np.array([site.P_PV for site in sites], np.float64),
            "load_w": np.where(metered, 0.0 - consumed_w, np.nan),
            "soc": np.array(percent, np.float64) / 100 if n else np.zeros(0),
        },
        times_of([document.Head.Timestamp for document in documents]),
        estimated,
        single,
    )
