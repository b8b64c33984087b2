"""Stamps of a file as UTC, with the two hours a year at which local clocks change.

A stated rule instead of a guess: a local time that comes twice (clocks go back) is the earlier
one where the file first has it and the later one where it has it again; a local time that never
was (clocks go forward) is no time at all.
"""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class StampReader:
    """Reads the stamps of one file, in the file's order."""

    def __init__(self, format_: str | None, zone: str) -> None:
        """``format_`` as for ``strptime``; None = ISO 8601."""
        self._format = format_
        self._name = zone
        self._zone = ZoneInfo(zone)
        self._seen: set[datetime] = set()
        self.ambiguous = 0
        """Stamps so far that local clocks showed twice."""

    def read(self, text: str) -> int:
        """Milliseconds since 1970 UTC. Raises `ValueError` in words for a person."""
        try:
            if self._format is None:
                stamp = datetime.fromisoformat(text)
            else:
                stamp = datetime.strptime(text, self._format)
        except ValueError:
            wanted = "an ISO 8601 time" if self._format is None else f"a time like {self._format}"
            raise ValueError(f"{text!r} is not {wanted}") from None
        if stamp.tzinfo is None:
            stamp = self._localize(stamp)
        since = stamp.astimezone(UTC) - EPOCH
        ms = since.days * 86_400_000 + since.seconds * 1000 + since.microseconds // 1000
        if ms < 0:
            raise ValueError(f"{text!r} is before 1970")
        return ms

    def _localize(self, naive: datetime) -> datetime:
        early = naive.replace(tzinfo=self._zone)
        late = early.replace(fold=1)
        if early.utcoffset() == late.utcoffset():
            return early
        if early.astimezone(UTC).astimezone(self._zone).replace(tzinfo=None) != naive:
            raise ValueError(f"{naive} never was in {self._name} (clocks went forward)")
        self.ambiguous += 1
        again = naive in self._seen
        self._seen.add(naive)
        return late if again else early
