"""OpenEMS Edge: the channels of its component ``_sum``, by address.

Either ``{"_sum/EssSoc": 77}`` (as its web socket and its time series have them), or the list of the
REST API, ``[{"address": "_sum/EssSoc", "value": 77}]``. Powers in W; storage + = discharge and grid
+ = import, as ours. ``EssActivePower`` is the alternating current of the storage: behind a hybrid
inverter it includes panels, so ``EssDischargePower`` takes precedence. No time is in it.
"""

import math

from edge.vendor_fields.document import at, number
from schemas.telemetry import JsonValue, Quality, Reading, Rejection
from vpp_streams.domain.telemetry.normalize.checked import Times, checked
from vpp_streams.domain.telemetry.normalize.document import not_telemetry

_SUM = "_sum/"
_ISLANDED = {1: False, 2: True}


def recognizes(document: JsonValue) -> bool:
    """Whether a channel of ``_sum`` is in it."""
    return any(address.startswith(_SUM) for address in _channels(document))


def normalize(document: JsonValue, times: Times) -> Reading | Rejection:
    """The reading of the site's sums."""
    if not recognizes(document):
        return not_telemetry("OpenEMS", document, {"jsonrpc": "another answer of OpenEMS"})
    channels = _channels(document)

    def value(name: str) -> float:
        return number(channels.get(_SUM + name))

    battery_w, quality = value("EssDischargePower"), Quality.OK
    if math.isnan(battery_w):
        battery_w = value("EssActivePower")
        has_only_ac = value("ProductionDcActualPower") == 0
        quality = Quality.OK if math.isnan(battery_w) or has_only_ac else Quality.ESTIMATED
    mode = channels.get(_SUM + "GridMode")
    return checked(
        times,
        None,
        {
            "battery_w": battery_w,
            "grid_w": value("GridActivePower"),
            "solar_w": value("ProductionActivePower"),
            "load_w": value("ConsumptionActivePower"),
            "soc": value("EssSoc") / 100,
        },
        islanded=_ISLANDED.get(mode) if isinstance(mode, int) else None,
        quality=quality,
    )


def _channels(document: JsonValue) -> dict[str, JsonValue]:
    """The value of each channel by its address; empty if the document has none."""
    if isinstance(document, dict):
        return document
    entries = document if isinstance(document, list) else []
    addressed = [(at(entry, "address"), at(entry, "value")) for entry in entries]
    return {address: value for address, value in addressed if isinstance(address, str)}
