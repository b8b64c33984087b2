"""WebSocket frames as bytes: what a device mostly sends, what we send, and fragments.

All that is unusual is left to the library's `ServerProtocol` (`vpp_streams.gateway.connection`).
"""

from struct import Struct

from websockets.frames import Frame

from schemas.protocol import MAX_MESSAGE_BYTES
from vpp_streams.domain import kernels

try:
    from websockets.speedups import apply_mask
except ImportError:  # the library was installed without its C extension
    from websockets.utils import apply_mask

SOUND = frozenset((0x00, 0x01, 0x02, 0x80, 0x81, 0x82, 0x88, 0x89, 0x8A))
"""First bytes of the frames that RFC 6455 knows, without reserved bits."""
WHOLE = frozenset((0x81, 0x82))
"""Those of a text and of a binary message in one frame."""
TEXT, WHOLE_TEXT = 0x01, 0x81
MASKED, LENGTH = 0x80, 0x7F
_HEADERS = tuple(bytes((0x81, size)) for size in range(126))
"""Header of a text frame that we send, by its size."""
_LONG_HEADER = Struct("!BBH").pack


def text_frame(text: bytes) -> bytes:
    """A text message in one frame, as a server sends it."""
    size = len(text)
    if size < 126:
        return _HEADERS[size] + text
    if size < 65536:
        return _LONG_HEADER(0x81, 126, size) + text
    return b"\x81\x7f" + size.to_bytes(8, "big") + text


def only_text(data: bytes) -> bytes | None:
    """The text of a read that is one whole ASCII message, as nearly all reads are; else None."""
    if kernels.COMPILED is not None:
        found: bytes | None = kernels.COMPILED.only_text(data, MAX_MESSAGE_BYTES)
        return found
    size = len(data)
    if size < 8 or data[0] != WHOLE_TEXT or size > MAX_MESSAGE_BYTES:
        return None
    second = data[1]
    if second < MASKED or second == MASKED | 127:
        return None
    if second == MASKED | 126:
        begin, length = 8, data[2] << 8 | data[3]
    else:
        begin, length = 6, second & LENGTH
    if begin + length != size:
        return None
    text = unmasked(data[begin:], data[begin - 4 : begin])
    return text if text.isascii() else None


def unmasked(data: bytes, mask: bytes) -> bytes:
    """The payload of a frame from a device."""
    return apply_mask(data, mask)


def is_utf8(text: bytes) -> bool:
    """Whether a text message is one."""
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


class Fragments(list[bytes]):
    """The fragments of the message that is under way."""

    __slots__ = ("is_text",)

    def __init__(self, first: Frame) -> None:
        super().__init__()
        self.is_text = first.opcode == TEXT

    def add(self, frame: Frame) -> bytes | None:
        """Add a fragment; returns the message once it is complete."""
        self.append(bytes(frame.data))
        return b"".join(self) if frame.fin else None
