"""The live readings of one connection: their numbers, their way to Kafka, and their acks.

Sans-I/O, a part of `vpp_streams.gateway.session.Session`, which decides what is accepted.
"""

from collections import Counter
from typing import NamedTuple

from schemas.protocol import Ack
from schemas.wire import encode_send
from vpp_streams.domain.moments import Now
from vpp_streams.gateway.actions import Limits, LiveReceipt, Produce, Send
from vpp_streams.gateway.bucket import TokenBucket
from vpp_streams.gateway.lines import Body, line
from vpp_streams.gateway.live_acks import LiveAcks, Range
from vpp_streams.gateway.rows import Row
from vpp_streams.kafka.topic import Topic


class Head(NamedTuple):
    """The newest live sequence number of a device, and its boot."""

    boot: str
    seq: int


class LiveReadings:
    """Numbers rise; what is in flight is not produced again; an ack covers what Kafka has."""

    __slots__ = (
        "_ack_ms",
        "_acked_ms",
        "_acks",
        "_counters",
        "_device_id",
        "_in_flight",
        "_partition",
        "_topic",
        "boot",
        "boot_number",
        "last_seq",
        "rate",
    )

    def __init__(
        self,
        device_id: str,
        topic: Topic[bytes],
        partition: int,
        limits: Limits,
        *,
        counters: Counter[str],
        now: Now,
    ) -> None:
        self.boot, self.boot_number = "", 0
        """Of the connection, as the device spells it, and as the number that it is."""
        self.last_seq = -1
        """The highest number so far, also of readings that were refused."""
        self.rate = TokenBucket(limits.live_per_s, limits.live_burst, now.mono_ms)
        self._device_id = device_id
        self._topic = topic
        self._partition = partition
        self._ack_ms = limits.ack_ms
        self._counters = counters
        self._in_flight: set[int] = set()
        self._acks = LiveAcks(0)
        self._acked_ms = now.mono_ms - limits.ack_ms

    def begin(self, boot: str, next_seq: int) -> None:
        """Hello has named the boot and the next number."""
        self.boot, self.boot_number = boot, int(boot, 16)
        self.last_seq = next_seq - 1
        self._acks = LiveAcks(next_seq)

    @property
    def head(self) -> Head:
        """The newest number of this connection's boot."""
        return Head(self.boot, self.last_seq)

    def produce(self, id_: str, seq: int, body: Body | Row, now: Now) -> Produce:
        """Send a new reading to Kafka, as a row or as a line."""
        self.last_seq = seq
        self._counters["readings_in"] += 1
        self._in_flight.add(seq)
        is_row = isinstance(body, bytes)
        if not isinstance(body, bytes):
            body = line(self._device_id, now.utc_ms, seq, body, f"{self.boot_number:x}")
        receipt = LiveReceipt(id_, seq)
        return Produce(self._topic, self._partition, self._device_id, body, receipt, is_row)

    def on_its_way(self, seq: int) -> bool:
        """Whether Kafka has not answered yet."""
        return seq in self._in_flight

    def again(self, seq: int) -> bool:
        """Ack a stored number again; False = no ack may cover it."""
        if not self._acks.covers(seq):
            return False
        self._acks.again()
        return True

    def stored(self, seq: int, now: Now) -> list[Send]:
        """Kafka has a reading; returns the ack of a range that it broke off."""
        self._in_flight.discard(seq)
        broken_off = self._acks.stored(seq)
        return [] if broken_off is None else [self._live_ack(broken_off, now)]

    def noted(self, seq: int, mono_ms: int) -> bool:
        """As `stored`, if nothing follows from it; False says that nothing has changed."""
        if mono_ms - self._acked_ms >= self._ack_ms or not self._acks.continues(seq):
            return False
        self._in_flight.discard(seq)
        return True

    def lost(self, seq: int) -> None:
        """Kafka did not take a reading."""
        self._in_flight.discard(seq)

    def acks_if_due(self, now: Now, *, at_once: bool) -> list[Send]:
        """The ack of what was stored since the last one, no more often than they are due."""
        if at_once or now.mono_ms - self._acked_ms >= self._ack_ms:
            return self.acks_now(now)
        return []

    def acks_now(self, now: Now) -> list[Send]:
        """The ack of what was stored since the last one."""
        rows = self._acks.take()
        return [self._live_ack(rows, now)] if rows else []

    def ack(self, boot: str, rows: Range, now: Now) -> Send:
        """An ack of readings of any boot."""
        self._counters["acks"] += 1
        ack = Ack(b=boot, from_=rows[0], upto=rows[1], t=now.utc_ms)
        return Send(encode_send(f"a{rows[1]}", ack))

    def _live_ack(self, rows: Range, now: Now) -> Send:
        self._acked_ms = now.mono_ms
        return self.ack(self.boot, rows, now)
