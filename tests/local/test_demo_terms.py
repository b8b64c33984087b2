"""The demo's terms are complete: an operator may end an enrolment, and begin another."""

from vpp_streams.domain.settle.agreements import Agreements
from vpp_streams.local.demo import ENROLLED_FROM_MS, FIRST_PROGRAM, PROGRAM


def test_an_enrolment_of_the_demo_begins_with_terms() -> None:
    known = Agreements()
    assert [known.apply(one) for one in (FIRST_PROGRAM, PROGRAM)] == [None, None]
    assert known.program(PROGRAM.program_id, ENROLLED_FROM_MS) == FIRST_PROGRAM
    assert known.program(PROGRAM.program_id, PROGRAM.effective_from_ms) == PROGRAM
