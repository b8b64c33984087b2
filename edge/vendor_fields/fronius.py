"""Fronius Solar API v1: the power flow.

``P_Akku`` + = discharge and ``P_Grid`` + = import, as ours; ``P_Load`` is negative while the home
consumes. At night ``P_PV`` is null: not measured, not 0. Without a meter (``Mode``), grid and load
are estimates (``vague-meter``) or not measured (``produce-only``).
"""

import math

from edge.vendor_fields.batteries import joint_soc
from edge.vendor_fields.document import NAN, at, items, number
from edge.vendor_fields.fields import Fields
from schemas.bodies import JsonValue, Quality

METERED = ("meter", "bidirectional")
NOT_METERED = "produce-only"


def power_flow(data: JsonValue) -> Fields | None:
    """The fields of the power flow in an answer's data; None = the data is something else."""
    site = at(data, "Site")
    if not isinstance(site, dict):
        return None
    socs = [number(at(inverter, "SOC")) / 100 for inverter in items(data, "Inverters")]
    soc, quality = joint_soc([soc for soc in socs if not math.isnan(soc)])
    mode = site.get("Mode")
    is_metered = mode != NOT_METERED
    found = Fields(
        {
            "battery_w": number(site.get("P_Akku")),
            "grid_w": number(site.get("P_Grid")) if is_metered else NAN,
            "solar_w": number(site.get("P_PV")),
            "load_w": 0.0 - number(site.get("P_Load")) if is_metered else NAN,
            "soc": soc,
        }
    )
    if mode not in (*METERED, NOT_METERED):
        found.estimated.update(("grid_w", "load_w"))
    if quality is not Quality.OK:
        found.estimated.add("soc")
    return found
