"""The bounds of every contract: lengths of names, sizes of numbers, lengths of sequences.

A value outside them is refused when a record is decoded, so no later code has to check whether a
number fits its column, clock or partition.
"""

from typing import Annotated, Literal

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
"""A device's reading number: increases by one per reading within a boot."""
PartitionNumber = Annotated[int, msgspec.Meta(ge=0, le=PARTITIONS - 1)]
"""A partition of the site-keyed topics."""
GatewaySlot = Annotated[int, msgspec.Meta(ge=0, le=GATEWAY_SLOTS - 1)]
"""A partition of ``gateway.out``."""
Offset = Annotated[int, msgspec.Meta(ge=0, le=MAX_SEQ)]
"""Offset of a Kafka record; also a connection's epoch, which is such an offset."""
Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_COUNT)]
Label = Annotated[str, msgspec.Meta(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*(?!\n)$")]
"""A name with more characters than an `Id`, of a process or a topic; no control characters."""
Sentence = Annotated[str, msgspec.Meta(max_length=2000)]
"""Text for people."""
Code = Annotated[str, msgspec.Meta(max_length=64)]
"""A stable word for counting, or text of that length from a device."""

MAX_MANY = 1_000_000
"""Limit of a sequence that has no other; the size of a record limits it first."""

SizeS = Annotated[int, msgspec.Meta(ge=1, le=86_400)]
"""Length of a window, s: at most a day."""
IntervalMs = Annotated[int, msgspec.Meta(gt=0, le=366 * MAX_INTERVAL_MS)]
"""Length of an interval of a market or a price, ms: at most a year."""
AgeMs = Annotated[int, msgspec.Meta(ge=0, le=MAX_TIME_MS)]
Watts = Annotated[float, msgspec.Meta(ge=-1e12, le=1e12)]
"""A finite power: JSON has no other numbers, and the limits keep sums finite."""
Positive = Annotated[float, msgspec.Meta(ge=0, le=1e12)]
WattHours = Annotated[float, msgspec.Meta(ge=-1e15, le=1e15)]
Number = Annotated[float, msgspec.Meta(ge=-1e18, le=1e18)]
"""Any finite number that can be added up."""
Fraction = Annotated[float, msgspec.Meta(ge=0, le=1)]
Ratio = Annotated[float, msgspec.Meta(ge=0, le=1e6)]
"""0..1 if everything counted is also expected; recently removed sites can make it more."""
Price = Annotated[float, msgspec.Meta(ge=-1e6, le=1e6)]
"""Price per MWh (of capacity, per MW and hour) in a market."""
Currency = Annotated[str, msgspec.Meta(pattern=r"^[A-Z]{3}(?!\n)$")]
MaybeId = Annotated[str, msgspec.Meta(pattern=r"^([A-Za-z0-9][A-Za-z0-9._:-]{0,63})?(?!\n)$")]
"""An `Id`, or "" for none."""
ShortId = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
"""An `Id` in records that contain too many of them to match a pattern each; only its length is
checked, and its user looks it up among the known names."""
MeteredAt = Literal["battery", "connection"]
"""Where power is measured: at the batteries, or at the grid connections with load and solar."""
