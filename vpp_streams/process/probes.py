"""What a process says of itself: whether it is alive, and whether it may be given work.

*Live* asks whether a restart would help: a loop that no longer turns, or records that wait and
are not applied although Kafka answers. *Ready* asks whether it may be given work: what it needs was
read and recovered. A Kafka that is away makes no process less live, and none that was ready less
ready: a restart would not bring Kafka back.
"""

from collections.abc import Callable
from typing import Literal

PATIENCE_S = 120.0
"""A loop that turns several times a second has stopped if it has not turned for this long."""

Seat = Literal["working", "warm"]
"""``warm``: ready to take over, while another instance does the work."""


class Probes:
    """The needs and the loops of one process; its parts register what they know."""

    def __init__(self) -> None:
        self.seat: Seat = "working"
        self.needs: dict[str, Callable[[], bool]] = {}
        """Whether each thing that this process needs before it is given work is there."""
        self.ages_s: dict[str, Callable[[], float]] = {}
        """Seconds since each loop last turned."""
        self.stalls: dict[str, Callable[[], str]] = {}
        """What each part is stalled at, in words; "" = it is not."""

    def need(self, what: str) -> Callable[[], None]:
        """Register something that is not there yet; returns the function that says that it is."""
        there = False

        def met() -> None:
            nonlocal there
            there = True

        self.needs[what] = lambda: there
        return met

    def waits_for(self) -> list[str]:
        """What is missing before this process is ready; empty = ready."""
        return [what for what, is_there in self.needs.items() if not is_there()]

    def faults(self) -> list[str]:
        """Why this process should be started again; empty = live."""
        turned = {name: age_s() for name, age_s in self.ages_s.items()}
        stopped = [
            f"{name} has not turned for {age_s:.0f} s"
            for name, age_s in turned.items()
            if age_s > PATIENCE_S
        ]
        return stopped + [words for stalled in self.stalls.values() if (words := stalled())]
