"""Damaged bytes: some are other ones, missing, inserted or repeated."""

import random
from collections.abc import Sequence


def damaged(data: bytes, seed: int, faults: int, inserted: Sequence[str]) -> bytes:
    """The bytes with this many faults; what is inserted is one of ``inserted``."""
    rng = random.Random(seed)
    broken = bytearray(data)
    for _ in range(faults):
        at = rng.randrange(len(broken))
        match rng.randrange(4):
            case 0:
                broken[at] = rng.randrange(256)
            case 1:
                del broken[at : at + rng.randrange(1, 9)]
            case 2:
                broken[at:at] = rng.choice(inserted).encode()
            case _:
                broken[at:at] = broken[at : at + rng.randrange(1, 30)]
    return bytes(broken)
