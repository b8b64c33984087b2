"""Names to dense numbers, a frame at a time.

A `dict` of a hundred thousand names costs about 300 ns a look-up where they are in random order:
a Python string is made, hashed and compared, each with its cache misses. Here a frame's names stay
in Arrow's buffer; they are hashed and compared as 8-byte words by numpy, in a table with open
addressing. Names are compared completely, so two with the same hash are distinguished. Where it is
compiled (`domain.kernels`), the same table is read in C.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from schemas.telemetry import MAX_NAME_BYTES
from vpp_streams.domain import kernels
from vpp_streams.domain.arrays import Ints

_Words = NDArray[np.uint64]
"""Shape (names, 1 + words): each name's length, then its bytes, 0 beyond its end."""

UNKNOWN = -1
_WORD = 8
_KEEP = np.array([(1 << 8 * n) - 1 for n in range(_WORD + 1)], np.uint64)
"""By the bytes of a word that belong to the name."""
_MIX = np.uint64(0x9E37_79B9_7F4A_7C15)
_FOLD = np.uint64(29)
_FACTORS = np.random.default_rng(0).integers(
    0, 1 << 63, 1 + MAX_NAME_BYTES // _WORD, np.uint64
) | np.uint64(1)
_ROOM = 8
"""Slots per name, at least: few names then find another one in theirs."""


class NameIndex:
    """Ints names in the order in which they are added."""

    def __init__(self) -> None:
        self._names = 0
        self._words: _Words = np.zeros((1, 1), np.uint64)
        self._waiting: list[str] = []
        self._shift = np.uint64(64)
        self._slots = np.full(1, UNKNOWN, np.int32)

    def __len__(self) -> int:
        return self._names + len(self._waiting)

    def add(self, names: Iterable[str]) -> None:
        """Number these names, of which none was added before, occurs twice or is too long."""
        self._waiting += names  # many are cheaper at once: see `find`

    def find(self, names: pa.StringArray) -> Ints:
        """Shape (len(names),): each name's number, `UNKNOWN` where it has none. No nulls.

        Raises `ValueError` for a name of more than `MAX_NAME_BYTES`.
        """
        if kernels.COMPILED is not None and len(names):
            _, offsets, data = names.buffers()
            found = np.empty(len(names), np.int64)
            kernels.COMPILED.find_names(*self.table(), offsets, data or b"", names.offset, found)
            return found
        if self._waiting:
            self._insert()
        words = _words_of(names)
        slot = self._first_slot(words)
        found = self._slots[slot].astype(np.int64)
        wrong = np.flatnonzero((found != UNKNOWN) & ~self._same(words, found))
        while len(wrong):
            slot[wrong] = self._next(slot[wrong])
            found[wrong] = self._slots[slot[wrong]]
            there = found[wrong]
            wrong = wrong[(there != UNKNOWN) & ~self._same(words[wrong], there)]
        return found

    def names(self, numbers: Ints) -> pa.StringArray:
        """Inverse of `find`: the names with these numbers; `UNKNOWN` gives ""."""
        if self._waiting:
            self._insert()
        if kernels.COMPILED is not None:
            offsets = np.empty(len(numbers) + 1, np.int32)
            numbers = np.ascontiguousarray(numbers, np.int64)
            data = kernels.COMPILED.gather_names(
                self._words, self._words.shape[1], numbers, offsets
            )
            return pa.StringArray.from_buffers(
                len(numbers), pa.py_buffer(offsets), pa.py_buffer(data)
            )
        words = self._words.take(numbers, axis=0, mode="clip")
        length = np.where(numbers == UNKNOWN, 0, words[:, 0].astype(np.int32))
        bytes_ = words.view(np.uint8)[:, _WORD:]
        data = bytes_[np.arange(bytes_.shape[1]) < length[:, None]]
        offsets = np.r_[0, length.cumsum()].astype(np.int32)
        return pa.StringArray.from_buffers(len(numbers), pa.py_buffer(offsets), pa.py_buffer(data))

    def table(self) -> tuple[Any, ...]:
        """Words, their width, slots, shift and factors: what compiled code looks names up in."""
        if self._waiting:
            self._insert()
        return self._words, self._words.shape[1], self._slots, int(self._shift), _FACTORS

    def _first_slot(self, words: _Words) -> Ints:
        # A sum, to which the words beyond a name's end add nothing.
        mixed = (words ^ (words >> _FOLD)) @ _FACTORS[: words.shape[1]] * _MIX
        slot: Ints = (mixed >> self._shift).astype(np.int64)
        return slot

    def _next(self, slot: Ints) -> Ints:
        return (slot + 1) & (len(self._slots) - 1)

    def _same(self, words: _Words, numbers: Ints) -> NDArray[np.bool_]:
        ours = self._words.take(numbers, axis=0, mode="clip")
        both = min(ours.shape[1], words.shape[1])  # a longer name differs in its length
        same: NDArray[np.bool_] = (ours[:, :both] == words[:, :both]).all(axis=1)
        return same

    def _insert(self) -> None:
        """Insert the names that wait."""
        words = _words_of(pa.array(self._waiting, pa.string()))
        first, self._names = self._names, self._names + len(self._waiting)
        self._waiting = []
        rows, width = self._words.shape
        if self._names > rows or words.shape[1] > width:
            rows = 2 * self._names if self._names > rows else rows
            grown = np.zeros((rows, max(width, words.shape[1])), np.uint64)
            grown[:first, :width] = self._words[:first]
            self._words = grown
        self._words[first : self._names, : words.shape[1]] = words
        if _ROOM * self._names > len(self._slots):
            bits = (2 * _ROOM * self._names).bit_length() - 1
            self._slots, self._shift = np.full(1 << bits, UNKNOWN, np.int32), np.uint64(64 - bits)
            first = 0
        self._place(np.arange(first, self._names))

    def _place(self, numbers: Ints) -> None:
        slot = self._first_slot(self._words[numbers])
        while len(numbers):
            free = self._slots[slot] == UNKNOWN
            self._slots[slot[free]] = numbers[free]  # of two for one slot, the last gets it
            left = self._slots[slot] != numbers
            numbers, slot = numbers[left], self._next(slot[left])


def _words_of(names: pa.StringArray) -> _Words:
    if not len(names):
        return np.zeros((0, 1), np.uint64)
    _, offsets, data = names.buffers()
    ends = np.frombuffer(offsets, np.int32)[names.offset : names.offset + len(names) + 1]
    low, high = int(ends[0]), int(ends[-1])
    start, length = ends[:-1].astype(np.int64) - low, np.diff(ends).astype(np.int64)
    if length.max() > MAX_NAME_BYTES:
        raise ValueError(f"a name of {length.max()} bytes; at most {MAX_NAME_BYTES}")
    count = -(-int(length.max()) // _WORD)
    words = np.zeros((len(names), 1 + count), np.uint64)
    words[:, 0] = length
    if length.min() == length.max():  # as where they are numbered: the bytes lie in a matrix
        bytes_ = np.frombuffer(data or b"", np.uint8)[low:high].reshape(len(names), -1)
        words.view(np.uint8)[:, _WORD : _WORD + bytes_.shape[1]] = bytes_
        return words
    # A word may begin at any byte, and the last ones reach beyond the names.
    padded = np.zeros(high - low + (count + 1) * _WORD, np.uint8)
    padded[: high - low] = np.frombuffer(data, np.uint8)[low:high]
    at_byte: _Words = np.ndarray((len(padded) - _WORD + 1,), np.uint64, padded, strides=(1,))
    for i in range(count):
        words[:, 1 + i] = at_byte[start + i * _WORD]
        words[:, 1 + i] &= _KEEP[(length - i * _WORD).clip(0, _WORD)]
    return words
