"""Which live readings an Ack may cover: the newest unbroken range that Kafka has."""

Range = tuple[int, int]
"""[from, upto], both included."""


class LiveAcks:
    """Grows a range reading by reading; a hole (refused or lost) begins a new one.

    Sound whatever the order in which Kafka answers: a range only ever holds stored numbers.
    """

    __slots__ = ("_acked", "_first", "_upto")

    def __init__(self, next_seq: int) -> None:
        self._first = next_seq
        self._upto = self._acked = next_seq - 1

    def stored(self, seq: int) -> Range | None:
        """Note that Kafka has ``seq``; returns a range that it broke off, to be acked now."""
        if self.continues(seq):
            return None
        if self.covers(seq):
            return None
        broken_off = self.take()
        self._first, self._upto, self._acked = seq, seq, seq - 1
        return broken_off

    def continues(self, seq: int) -> bool:
        """Note that Kafka has ``seq`` if the range grows by it; False = nothing has changed."""
        if seq != self._upto + 1:
            return False
        self._upto = seq
        return True

    def covers(self, seq: int) -> bool:
        """Whether ``seq`` is in the current range."""
        return self._first <= seq <= self._upto

    def again(self) -> None:
        """Ack the current range again (the device seems to have missed the ack)."""
        self._acked = self._first - 1

    def take(self) -> Range | None:
        """The range to ack, if it has grown since it was last taken."""
        if self._upto <= self._acked:
            return None
        self._acked = self._upto
        return self._first, self._upto
