"""A loop's rests: work has its share, waiting costs nothing, and no rest is long."""

from hypothesis import given
from hypothesis import strategies as st

from agents.pace import Pace

SHARE, EVERY_S, LONGEST_S = 0.3, 0.5, 2.0
Seconds = st.floats(0, 1e5)


class Clocks:
    def __init__(self) -> None:
        self.wall_s = self.own_s = 0.0
        self.pace = Pace(
            SHARE, LONGEST_S, EVERY_S, wall=lambda: self.wall_s, own=lambda: self.own_s
        )

    def works(self, seconds: float) -> None:
        with self.pace.work():
            self.wall_s += seconds
            self.own_s += seconds

    def waits(self, seconds: float) -> None:
        self.wall_s += seconds


def test_after_kafka_was_away_for_172_s_the_next_round_is_soon() -> None:
    """K4: it slept for 401 s more."""
    clocks = Clocks()
    clocks.pace.begin()
    clocks.works(0.03)
    clocks.waits(172.0)
    clocks.works(0.03)
    assert clocks.pace.rest_s() == 0.06 * (1 / SHARE - 1)


def test_a_process_that_was_stopped_rests_a_few_rounds_at_most() -> None:
    clocks = Clocks()
    clocks.pace.begin()
    clocks.works(300.0)  # a clock that counts the stop as work
    assert clocks.pace.rest_s() == LONGEST_S <= 4 * EVERY_S


def test_short_rounds_come_at_their_interval() -> None:
    clocks = Clocks()
    for _ in range(2):
        clocks.pace.begin()
        clocks.works(0.01)
        clocks.waits(0.09)
        assert clocks.pace.rest_s() == 0.4
        clocks.waits(0.4)


def test_long_work_has_its_share_of_the_time() -> None:
    clocks = Clocks()
    clocks.pace.begin()
    clocks.works(0.6)
    assert abs(clocks.pace.rest_s() - 1.4) < 1e-9
    clocks.waits(1.4)
    clocks.pace.begin()
    assert clocks.pace.rest_s() == EVERY_S, "what was worked before is paid for"


@given(st.lists(st.tuples(st.booleans(), Seconds), max_size=10))
def test_rests_are_bounded_and_waiting_never_makes_them_longer(
    happens: list[tuple[bool, float]],
) -> None:
    clocks, busy = Clocks(), Clocks()
    clocks.pace.begin()
    busy.pace.begin()
    for works, seconds in happens:
        (clocks.works if works else clocks.waits)(seconds)
        if works:
            busy.works(seconds)
    assert 0 <= clocks.pace.rest_s() <= busy.pace.rest_s() <= LONGEST_S
