"""The bounds of every contract: how long a name, how large a number, how many in a sequence.

A value outside them is refused when a record is decoded, so nothing behind the door has to ask
whether a number fits the column, the clock or the partition that it is for.
"""

from typing import Annotated

import msgspec

PARTITIONS = 8
"""Partitions of every site-keyed topic; the same everywhere, checked at start."""
GATEWAY_SLOTS = 8
"""Partitions of ``gateway.out``: one per running gateway process."""
MAX_SEQ = 2**62
MAX_TIME_MS = 253_402_300_799_000
"""The year 9999."""
MAX_INTERVAL_MS = 86_400_000
MAX_COUNT = 2**53
"""The largest integer that every JSON reader keeps exact."""

Id = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}(?!\n)$")]
"""A site, device or region id: letters, digits and ``. _ : -``, at most 64 characters."""
EpochMs = Annotated[int, msgspec.Meta(ge=0, le=MAX_TIME_MS)]
"""Milliseconds since 1970-01-01 UTC (up to the year 9999)."""
Seq = Annotated[int, msgspec.Meta(ge=0, le=MAX_SEQ)]
"""A device's reading number: rises by one per reading within a boot."""
PartitionNumber = Annotated[int, msgspec.Meta(ge=0, le=PARTITIONS - 1)]
"""A partition of the site-keyed topics."""
GatewaySlot = Annotated[int, msgspec.Meta(ge=0, le=GATEWAY_SLOTS - 1)]
"""A partition of ``gateway.out``."""
Offset = Annotated[int, msgspec.Meta(ge=0, le=MAX_SEQ)]
"""Of a Kafka record; also a connection's epoch, which is one."""
Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_COUNT)]
Label = Annotated[str, msgspec.Meta(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*(?!\n)$")]
"""A name that is more than an `Id`, as of a process or a topic: no control characters."""
Sentence = Annotated[str, msgspec.Meta(max_length=2000)]
"""Text for people."""
