"""What a home has learnt about itself, in a text file: one line for each quarter of an hour.

Losing it costs some weeks of learning, and no reading. So a line that cannot be read is left out,
and a disk that cannot be written is reported once and does not stop the agent.
"""

import logging
import math
import os
from pathlib import Path

from edge.optimizer.forecaster import DAYS
from edge.planning.slots import Slot
from edge.planning.tariff import PER_DAY

_MOST_LINES = DAYS * PER_DAY
_log = logging.getLogger(__name__)


class Learnt:
    """The file's slots. It is appended to, and written anew at the start if it is twice too long.

    ``path`` None = nothing is kept.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._failed = False

    def read(self) -> list[Slot]:
        """The newest slots, as they were added."""
        if self._path is None or not self._path.exists():
            return []
        try:
            lines = self._path.read_text(encoding="utf-8", errors="replace").splitlines()
            if len(lines) > 2 * _MOST_LINES:
                lines = lines[-_MOST_LINES:]
                self._write_anew(lines)
        except OSError as error:
            self._report(error)
            return []
        found = (_slot(line) for line in lines[-_MOST_LINES:])
        return [slot for slot in found if slot is not None]

    def add(self, slot: Slot) -> None:
        """Append a complete slot."""
        if self._path is None:
            return
        try:
            with self._path.open("a", encoding="utf-8") as file:
                # Its end of line comes with the next one, which a torn line then cannot spoil.
                file.write(f"\n{slot.number} {slot.load_w:.1f} {slot.solar_w:.1f}")
        except OSError as error:
            self._report(error)

    def _write_anew(self, lines: list[str]) -> None:
        assert self._path is not None
        new = self._path.with_name(self._path.name + ".new")
        new.write_text("\n".join(lines), encoding="utf-8")
        os.replace(new, self._path)

    def _report(self, error: OSError) -> None:
        if not self._failed:
            _log.warning("what the home learns is not kept: %s", error)
        self._failed = True


def _slot(line: str) -> Slot | None:
    try:
        number, load_w, solar_w = line.split()
        slot = Slot(int(number), float(load_w), float(solar_w))
    except ValueError:
        return None
    return None if math.isinf(slot.load_w) or math.isinf(slot.solar_w) or slot.number < 0 else slot
