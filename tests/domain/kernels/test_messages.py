"""What a gateway receives, read in C: a frame's text against Python's reading of the same bytes.

Readings as rows are compared in ``tests/gateway/test_rows.py``.
"""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.protocol import MAX_MESSAGE_BYTES
from tests.support.compiled_kernels import compiled, numpy_only
from tests.support.websocket_frames import frame
from vpp_streams.gateway.framing import WHOLE_TEXT, only_text

TEXTS = st.one_of(
    st.binary(max_size=300),
    st.text("abc{}:,", max_size=300).map(str.encode),
    st.sampled_from([0, 1, 125, 126, 127, 65535, MAX_MESSAGE_BYTES - 8, MAX_MESSAGE_BYTES]).map(
        lambda size: b"x" * size
    ),
)


def both(read: bytes) -> bytes | None:
    """Assert that a read has one text, and return it."""
    compiled()
    found = only_text(read)
    with numpy_only():
        assert found == only_text(read)
    return found


@pytest.mark.parametrize("size", [0, 1, 2, 125, 126, 300, MAX_MESSAGE_BYTES - 8])
def test_a_whole_text_is_read(size: int) -> None:
    text = bytes(random.Random(size).choices(range(0x80), k=size))
    found = both(frame(WHOLE_TEXT & 0x0F, text))
    assert found == (text if size >= 2 else None), "shorter ones are left to others"


@given(st.sampled_from([0, 1, 2, 8, 9, 10]), st.booleans(), TEXTS)
def test_any_frame(opcode: int, last: bool, text: bytes) -> None:
    both(frame(opcode, text, fin=last))


@given(st.integers(0, 2**32), st.integers(0, 4), TEXTS)
def test_damaged_frames(seed: int, faults: int, text: bytes) -> None:
    rng = random.Random(seed)
    read = bytearray(frame(1, text))
    for _ in range(faults):
        place = rng.randrange(min(len(read), 12))
        if rng.random() < 0.5:
            read[place] = rng.randrange(256)
        else:
            read[place:place] = bytes(rng.randrange(3))
    both(bytes(read))
    both(bytes(read[: rng.randrange(len(read) + 1)]))


@given(st.binary(max_size=20))
def test_any_bytes(read: bytes) -> None:
    both(read)
    both(b"\x81" + read)


def test_arguments_that_do_not_fit_are_refused() -> None:
    read = compiled().only_text
    with pytest.raises(TypeError):
        read(bytearray(b"x" * 10), 100)
    with pytest.raises(TypeError):
        read(b"x" * 10)
