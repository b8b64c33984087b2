"""What the frames of one connection may cost: a budget that holds for every opcode.

A message is limited by the session (readings, rows, strikes), but a ping, a pong, an empty
fragment or half a frame never reaches it. Each costs the loop 3 to 25 us, and one read holds up
to 44,000 of them: nobody else would be served for a second. So every frame and every read takes
from one bucket, and a connection whose bucket is empty is closed.
"""

from vpp_streams.gateway.bucket import TokenBucket

FRAMES_PER_S = 200.0
"""In the long run. A device at twice the pace of backfill, one row a message, needs 106."""
FRAMES_BURST = 300.0
"""The most of one read, hence the longest that one read keeps the loop. Time is only looked at
when the bucket is empty, so that twice this may come at once after a rest."""
EXTRA_COST = 4
"""Of a control frame or a fragment, which costs the loop that much more than a whole message."""
MAX_FRAGMENTS = 64
"""Of one message."""
TOO_MANY_FRAMES = "too many frames"
TOO_MANY_FRAGMENTS = "too many fragments"

_WHOLE = frozenset((0x81, 0x82))
_FIN, _OPCODE, _MASKED, _LENGTH = 0x80, 0x0F, 0x80, 0x7F


class FrameBudget(TokenBucket):
    """The bucket of one connection, and the fragments of the message that is under way."""

    __slots__ = ("_fragments",)

    def __init__(self, now_ms: int) -> None:
        super().__init__(FRAMES_PER_S, FRAMES_BURST, now_ms)
        self._fragments = 0

    def another(self, first: int) -> bool:
        """Count a frame by its first byte; False = its message has more fragments than it may."""
        if first & _OPCODE < 8:
            self._fragments = 0 if first & _FIN else self._fragments + 1
        return self._fragments <= MAX_FRAGMENTS


class FrameMeter:
    """Counts the frames of a stream of bytes, cut anywhere, without reading their payloads.

    For bytes that somebody else will parse: `allow` says how many of them may be handed on.
    """

    __slots__ = ("_budget", "_first", "_head", "_payload", "why")

    def __init__(self, budget: FrameBudget) -> None:
        self._budget = budget
        self._head = b""
        self._first = 0
        self._payload = -1
        """Bytes of the payload that have not come; -1 = the header is not complete."""
        self.why = ""
        """Why not all bytes were allowed."""

    def allow(self, data: bytes, now_ms: int) -> int:
        """Bytes of ``data``, from its first on, that the budget has room for."""
        budget, cost, at, whole = self._budget, 0, 0, 0
        left = budget.tokens
        while at < len(data):
            at = self._over_header(data, at)
            if self._payload < 0:
                break
            step = min(self._payload, len(data) - at)
            at += step
            self._payload -= step
            if self._payload:
                break
            self._payload = -1
            cost += 1 if self._first in _WHOLE else EXTRA_COST
            enough = budget.another(self._first)
            if cost > left:
                left = budget.refill(now_ms)
            if cost > left or not enough:
                self.why = TOO_MANY_FRAMES if enough else TOO_MANY_FRAGMENTS
                return whole
            whole = at
        cost += not whole
        if cost > left and cost > budget.refill(now_ms):
            self.why = TOO_MANY_FRAMES
            return 0
        budget.tokens -= cost
        return len(data)

    def _over_header(self, data: bytes, at: int) -> int:
        """Step over what is left of a header; the payload's length is then known, or still -1."""
        while self._payload < 0 and at < len(data):
            have = len(self._head)
            size = 2 if have < 2 else _header_size(self._head[1])
            if have < size:
                self._head += data[at : at + size - have]
                at += len(self._head) - have
            if len(self._head) >= 2 and len(self._head) == _header_size(self._head[1]):
                self._first = self._head[0]
                self._payload = _payload_size(self._head)
                self._head = b""
        return at


def _header_size(second: int) -> int:
    length = second & _LENGTH
    extended = 0 if length < 126 else 2 if length == 126 else 8
    return 2 + extended + (4 if second & _MASKED else 0)


def _payload_size(head: bytes) -> int:
    length = head[1] & _LENGTH
    if length < 126:
        return length
    return int.from_bytes(head[2 : 4 if length == 126 else 10], "big")
