"""Records of several logs are handed on in turns."""

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from vpp_streams.domain.telemetry.log_reading import in_turns


@given(st.dictionaries(st.integers(0, 5), st.lists(st.integers(), max_size=20)), st.integers(1, 7))
def test_each_log_is_complete_and_in_order_and_waits_for_a_turn_of_the_others_at_most(
    found: dict[int, list[int]], most: int
) -> None:
    taken: dict[int, list[int]] = defaultdict(list)
    since: dict[int, int] = defaultdict(int)
    for key, records in in_turns(found, most):
        assert 1 <= len(records) <= most
        taken[key] += records
        for other in found.keys() - {key}:
            since[other] += len(records)
            if len(taken[other]) < len(found[other]):
                assert since[other] <= most * (len(found) - 1)
        since[key] = 0
    assert {key: taken[key] for key in found} == found
