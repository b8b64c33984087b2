"""Limits the log, so that a line that is repeated for ever cannot fill the disk."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

PER_MINUTE = 20
"""Lines of one kind per minute; further ones are counted, and the count is logged."""
_MAX_KINDS = 1000


@dataclass(slots=True)
class _Kind:
    """One logger's lines of one wording."""

    since_s: float
    passed: int = 0
    left_out: int = 0


class LogLimit(logging.Filter):
    """Passes `PER_MINUTE` lines of each kind; the next minute's first gives the number left out.

    A kind is a logger and the fixed part of its message: the numbers and names in it vary.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._kinds: dict[tuple[str, str], _Kind] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is written."""
        now_s = self._clock()
        event = record.msg.get("event") if isinstance(record.msg, dict) else record.msg
        name = record.name, str(event)[:200]
        kind = self._kinds.get(name)
        if kind is None or now_s - kind.since_s >= 60:
            left_out = kind.left_out if kind else 0
            kind = self._kinds[name] = _Kind(now_s)
            self._forget_the_oldest()
            if left_out:
                _add_count(record, left_out)
        if kind.passed >= PER_MINUTE:
            kind.left_out += 1
            return False
        kind.passed += 1
        return True

    def _forget_the_oldest(self) -> None:
        while len(self._kinds) > _MAX_KINDS:
            del self._kinds[next(iter(self._kinds))]


def _add_count(record: logging.LogRecord, left_out: int) -> None:
    if isinstance(record.msg, dict):
        record.msg = {**record.msg, "lines_left_out": left_out}
    else:
        record.msg = f"{record.msg} ({left_out} lines like this were left out)"
