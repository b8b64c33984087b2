"""Which partition a site lives in: Kafka's own default partitioner, so any client agrees."""

from functools import lru_cache

import numpy as np
import pyarrow as pa
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


def murmur2_of(names: pa.StringArray) -> NDArray[np.uint32]:
    """`murmur2` of many names at once. No nulls."""
    if not len(names):
        return np.zeros(0, np.uint32)
    _, offsets, data = names.buffers()
    ends = np.frombuffer(offsets, np.int32)[names.offset : names.offset + len(names) + 1]
    start, length = ends[:-1].astype(np.int64), np.diff(ends)
    padded = np.frombuffer((data.to_pybytes() if data else b"") + bytes(4), np.uint8)
    at_byte: NDArray[np.uint32] = np.ndarray((len(padded) - 3,), np.uint32, padded, strides=(1,))
    words = length >> 2
    m, h = np.uint32(_M), np.uint32(0x9747_B28C) ^ length.astype(np.uint32)
    for i in range(int(words.max()) + 1):
        k = at_byte[np.minimum(start + 4 * i, len(at_byte) - 1)]
        tail_bits = (8 * (length & 3)).astype(np.uint32)
        tail = k & ((np.uint32(1) << tail_bits) - np.uint32(1))
        with_tail = np.where(tail_bits > 0, (h ^ tail) * m, h)
        k = k * m
        k = (k ^ (k >> np.uint32(24))) * m
        h = np.where(i < words, (h * m) ^ k, np.where(i == words, with_tail, h))
    h = (h ^ (h >> np.uint32(13))) * m
    mixed: NDArray[np.uint32] = h ^ (h >> np.uint32(15))
    return mixed


@lru_cache(maxsize=1 << 20)
def partition_of(site_id: str, partitions: int) -> int:
    """Partition of a site's records: ``toPositive(murmur2(utf8(site_id))) mod partitions``."""
    return (murmur2(site_id.encode()) & 0x7FFF_FFFF) % partitions


def partitions_of(hashes: NDArray[np.uint32], partitions: int) -> NDArray[np.uint32]:
    """`partition_of` of many sites by their ids' `murmur2`."""
    return (hashes & np.uint32(0x7FFF_FFFF)) % np.uint32(partitions)
