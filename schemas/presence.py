"""The gateway to which each device is connected (topic ``presence``, compacted, key device_id)."""

from typing import Literal

import msgspec

from schemas.bounds import Code, EpochMs, GatewaySlot, Id, Label, Offset


class Presence(msgspec.Struct, frozen=True, omit_defaults=True):
    """A connect or disconnect of one device.

    The *epoch* (fencing token) of a connection is the Kafka offset of its connect record; a
    disconnect names the epoch it ends, and is ignored if there is a newer connect.
    """

    device_id: Id
    site_id: Id
    status: Literal["connected", "disconnected"]
    gateway_slot: GatewaySlot
    """Partition of ``gateway.out`` that reaches the device."""
    at_ms: EpochMs
    epoch: Offset | None = None
    """Only on a disconnect: the epoch that it ends."""
    boot: Label = "0"
    model: Code = ""
    firmware: Code = ""
    last_cmd: Code = ""
    measures_only: bool = False
    """Whether the device takes no setpoint, as its Hello said."""
