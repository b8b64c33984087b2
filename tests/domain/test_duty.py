"""When a standby may take over: after silence that it has listened to, or at once when told."""

from hypothesis import given
from hypothesis import strategies as st

from schemas.duty import Duty
from vpp_streams.domain.duty import BEAT_MS, SILENT_MS, STEP_MOST_MS, Instance, Standing

ME, OTHER = Instance("optimizer-a-1", 5_000), Instance("optimizer-b-1", 1_000)


def report(of: Instance = OTHER, term: int = 1, *, released: bool = False) -> Duty:
    return Duty(
        role="optimizer",
        process_id=of.process_id,
        started_at_ms=of.started_at_ms,
        term=term,
        since_ms=1_000,
        at_ms=1_000,
        released=released,
    )


def standing(*reports: Duty) -> Standing:
    found = Standing(ME, 0)
    for one in reports:
        found.apply(one)
    return found


def test_a_role_that_nobody_had_is_taken_at_once() -> None:
    assert standing().may_claim
    assert standing().next_term == 1


def test_one_that_was_handed_over_is_taken_at_once() -> None:
    assert standing(report(), report(released=True)).may_claim


def test_an_earlier_process_of_the_same_id_has_ended() -> None:
    assert standing(report(Instance(ME.process_id, ME.started_at_ms - 1))).may_claim
    assert not standing(report(ME)).may_claim


def test_a_report_of_an_earlier_term_changes_nothing() -> None:
    found = standing(report(term=4), report(ME, term=3, released=True))
    assert not found.may_claim
    assert found.next_term == 5


def test_pauses_of_the_standby_are_no_silence_of_the_other() -> None:
    found = standing(report())
    found.look(3_600_000)
    assert not found.may_claim


def test_while_kafka_is_away_nobody_is_silent() -> None:
    found = standing(report())
    for at_ms in range(0, SILENT_MS + 1, 100):
        found.look(at_ms)
    assert found.may_claim
    found.not_answered()
    assert not found.may_claim


def test_its_own_report_says_who_and_which_term() -> None:
    found = standing().report("optimizer", 7, 20, 30, last=True)
    assert (found.process_id, found.started_at_ms) == (ME.process_id, ME.started_at_ms)
    assert (found.term, found.since_ms, found.at_ms, found.released) == (7, 20, 30, True)


@given(st.lists(st.integers(0, 2 * SILENT_MS), max_size=40))
def test_it_takes_over_after_as_much_silence_as_it_has_listened_to(steps_ms: list[int]) -> None:
    found, now_ms = standing(report()), 0
    for step_ms in steps_ms:
        now_ms += step_ms
        found.look(now_ms)
    listened_ms = sum(min(step_ms, STEP_MOST_MS) for step_ms in steps_ms)
    assert found.may_claim == (listened_ms >= SILENT_MS)


@given(st.lists(st.tuples(st.integers(0, STEP_MOST_MS), st.booleans()), max_size=60))
def test_one_that_reports_in_time_keeps_its_duty(steps: list[tuple[int, bool]]) -> None:
    found, now_ms, silent_ms = standing(report()), 0, 0
    for step_ms, reported in steps:
        now_ms, silent_ms = now_ms + step_ms, silent_ms + step_ms
        found.look(now_ms)
        assert found.may_claim == (silent_ms >= SILENT_MS)
        if reported:
            found.apply(report())
            silent_ms = 0


def test_several_reports_fit_into_the_silence() -> None:
    assert SILENT_MS >= 5 * BEAT_MS
