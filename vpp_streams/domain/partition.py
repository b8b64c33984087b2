"""Which partition a site lives in: Kafka's own default partitioner, so any client agrees."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

_MASK = 0xFFFF_FFFF
_M = 0x5BD1_E995


def murmur2(data: bytes) -> int:
    """Kafka's murmur2 (seed 0x9747b28c) of ``data``, as an unsigned 32-bit integer."""
    length = len(data)
    h = (0x9747_B28C ^ length) & _MASK
    whole = length & ~3
    for i in range(0, whole, 4):
        k = int.from_bytes(data[i : i + 4], "little") * _M & _MASK
        k = (k ^ (k >> 24)) * _M & _MASK
        h = (h * _M & _MASK) ^ k
    if tail := data[whole:]:
        h = (h ^ int.from_bytes(tail, "little")) * _M & _MASK
    h = (h ^ (h >> 13)) * _M & _MASK
    return h ^ (h >> 15)


@lru_cache(maxsize=1 << 20)
def partition_of(site_id: str, partitions: int) -> int:
    """Partition of a site's records: ``toPositive(murmur2(utf8(site_id))) mod partitions``."""
    return (murmur2(site_id.encode()) & 0x7FFF_FFFF) % partitions


def partitions_of(hashes: NDArray[np.uint32], partitions: int) -> NDArray[np.uint32]:
    """`partition_of` of many sites by their ids' `murmur2`."""
    return (hashes & np.uint32(0x7FFF_FFFF)) % np.uint32(partitions)
