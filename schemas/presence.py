"""Who is connected where (topic ``presence``, compacted, key device_id)."""

from typing import Literal

import msgspec


class Presence(msgspec.Struct, frozen=True, omit_defaults=True):
    """A connect or disconnect of one device.

    The *epoch* (fencing token) of a connection is the Kafka offset of its connect record; a
    disconnect names the epoch it ends, and is ignored when a newer connect stands.
    """

    device_id: str
    site_id: str
    status: Literal["connected", "disconnected"]
    gateway_slot: int
    """Partition of ``gateway.out`` that reaches the device."""
    at_ms: int
    epoch: int | None = None
    """Only on a disconnect: the epoch it ends."""
    boot: str = "0"
    model: str = ""
    firmware: str = ""
    last_cmd: str = ""
