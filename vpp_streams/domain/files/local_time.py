"""Converts the time stamps of a file to UTC, also in the two hours a year when clocks change.

A fixed rule instead of a guess: a local time that occurs twice (clocks go back) is the earlier
one where it first appears in the file and the later one where it appears again; a local time that
does not exist (clocks go forward) is an error.
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
        """Number of stamps read so far that local clocks showed twice."""

    def read(self, text: str) -> int:
        """Milliseconds since 1970 UTC of a stamp. Raises `ValueError` in plain words."""
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
