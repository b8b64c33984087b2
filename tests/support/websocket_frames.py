"""The bytes of a WebSocket client: valid and invalid frames, and ways to cut a stream of them."""

import struct
from collections.abc import Iterable

from hypothesis import strategies as st
from websockets.utils import apply_mask

from schemas.protocol import MAX_MESSAGE_BYTES

KEY = b"GET /v1/d1 HTTP/1.1\r\nHost: x\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
UPGRADE = KEY + (
    b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Protocol: vpp.v1\r\n\r\n"
)


def frame(  # noqa: PLR0917  # as it is called
    opcode: int,
    data: bytes,
    fin: bool = True,
    reserved: int = 0,
    mask: bytes | None = b"\x12\x34\xff\x00",
    claimed: int | None = None,
) -> bytes:
    """Return a client's frame; the options make it one that no client should send."""
    size = len(data) if claimed is None else claimed
    head = fin << 7 | reserved << 4 | opcode
    masked = 0 if mask is None else 0x80
    if size < 126:
        header = struct.pack("!BB", head, masked | size)
    elif size < 65536:
        header = struct.pack("!BBH", head, masked | 126, size)
    else:
        header = struct.pack("!BBQ", head, masked | 127, size)
    return header + (data if mask is None else mask + apply_mask(data, mask))


def frame_size(begin: bytes) -> int:
    """Return the size of the frame that starts so, as far as known: more than is given."""
    more = len(begin) + 1
    if len(begin) < 2:
        return more
    length, extended = begin[1] & 127, {126: 2, 127: 8}.get(begin[1] & 127, 0)
    if extended:
        if len(begin) < 2 + extended:
            return more
        length = int.from_bytes(begin[2 : 2 + extended], "big")
    header = 2 + extended + (4 if begin[1] & 128 else 0)
    return max(header, header + length if len(begin) >= header else more)


def long_form(data: bytes) -> bytes:
    """Return a small frame whose length is written in eight bytes, which the library accepts."""
    mask = b"abcd"
    return struct.pack("!BBQ", 0x81, 0xFF, len(data)) + mask + apply_mask(data, mask)


SIZES = st.sampled_from(
    [0, 1, 5, 60, 124, 125, 126, 127, 300, 5000, MAX_MESSAGE_BYTES - 1, MAX_MESSAGE_BYTES]
)
OVERSIZE = st.sampled_from([MAX_MESSAGE_BYTES + 1, 65535, 65536, 70_000])
texts = st.text(max_size=60).map(str.encode)
payloads = st.one_of(
    SIZES.map(lambda n: b"x" * n),
    texts,
    st.just(b'[6,"1","Telemetry",{"b":"b0","s":1}]'),
)
small = st.binary(max_size=125)
masks = st.binary(min_size=4, max_size=4)
whole = st.one_of(
    st.builds(frame, st.just(1), payloads, mask=masks),
    st.builds(frame, st.just(1), payloads, mask=masks),
    st.builds(frame, st.just(2), st.binary(max_size=200), mask=masks),
)
pings = st.builds(frame, st.sampled_from([9, 10]), small, mask=masks)
fragmented = st.lists(st.one_of(texts, payloads), min_size=2, max_size=4).flatmap(
    lambda parts: st.lists(st.one_of(st.just(b""), pings), min_size=1, max_size=3).map(
        lambda between: b"".join(
            frame(1 if i == 0 else 0, part, fin=i == len(parts) - 1) + between[i % len(between)]
            for i, part in enumerate(parts)
        )
    )
)
closes = st.one_of(
    st.just(frame(8, b"")),
    st.just(frame(8, b"\x03\xe8bye")),
    st.builds(frame, st.just(8), st.binary(max_size=20)),
)
NOT_UTF8 = [b"\xff\xfe", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xce", b"ok\x80ok"]
unsound = st.one_of(
    st.builds(frame, st.just(1), st.sampled_from(NOT_UTF8)),
    st.sampled_from(NOT_UTF8).map(lambda b: frame(1, b"[", fin=False) + frame(0, b)),
    st.just(frame(1, b"\xce", fin=False) + frame(9, b"") + frame(0, b"\xba")),  # this one is
    st.builds(frame, st.sampled_from([1, 2, 9, 8, 0]), small, reserved=st.integers(1, 7)),
    st.builds(frame, st.sampled_from([1, 2, 8, 9]), small, mask=st.none()),
    st.builds(frame, st.sampled_from([3, 7, 11, 15]), small),
    st.builds(frame, st.just(9), st.binary(min_size=126, max_size=200)),
    st.builds(frame, st.sampled_from([0, 1]), small, fin=st.booleans()),
    st.builds(frame, st.just(9), small, fin=st.just(False)),
    OVERSIZE.map(lambda n: frame(1, b"y" * n)),
    st.builds(frame, st.just(1), small, claimed=st.sampled_from([2**40, 2**63, 70_000, 500])),
    st.binary(min_size=1, max_size=30),
)
streams = st.lists(
    st.one_of(whole, whole, whole, pings, fragmented, st.binary(max_size=60).map(long_form)),
    max_size=6,
).flatmap(
    lambda good: st.lists(st.one_of(unsound, closes, whole), max_size=3).map(
        lambda rest: b"".join(good + rest)
    )
)
cuts = st.lists(st.one_of(st.integers(0, 40), st.integers(0, 40_000)), max_size=12)


def chunks(data: bytes, at: Iterable[int]) -> list[bytes]:
    """Return ``data`` cut at these places."""
    ends = sorted({min(n, len(data)) for n in at} | {len(data)})
    return [data[a:b] for a, b in zip([0, *ends], ends, strict=False) if a < b]
