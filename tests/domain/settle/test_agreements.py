"""What holds at a moment; what contradicts itself or an earlier agreement is refused."""

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.programs import Enrolment, Program, Tariff
from tests.support.paths import GOLDEN
from tests.support.settle_world import SHARE_60, terms
from vpp_streams.domain.settle.agreements import Agreements

TARIFF = msgspec.json.decode((GOLDEN / "tariff.1.json").read_bytes(), type=Tariff)


def enrolment(
    site_id: str = "home-1", program_id: str = "share-60", **changes: object
) -> Enrolment:
    made = Enrolment(site_id=site_id, program_id=program_id, effective_from_ms=100)
    return msgspec.structs.replace(made, **changes)


def known(*records: Program | Enrolment | Tariff) -> Agreements:
    agreements = Agreements()
    for record in records:
        assert agreements.apply(record) is None
    return agreements


def test_an_enrolment_holds_from_its_time_until_its_end() -> None:
    agreements = known(SHARE_60, enrolment(until_ms=200))
    assert [agreements.columns(["home-1"], at).code[0] for at in (99, 100, 199, 200)] == [
        -1,
        0,
        0,
        -1,
    ]
    assert [agreements.columns(["home-1"], at).until_ms for at in (99, 100, 200)] == [
        100,
        200,
        math.inf,
    ]


def test_a_new_version_holds_from_its_time() -> None:
    second = terms(version=2, effective_from_ms=500, owner_share=0.7)
    agreements = known(SHARE_60, second, enrolment())
    before, after = (agreements.columns(["home-1", "nobody"], at) for at in (499, 500))
    assert before.share_millionths().tolist() == [600_000, 0]
    assert after.share_millionths().tolist() == [700_000, 0]
    assert (before.until_ms, after.until_ms) == (500, math.inf)


def test_sites_have_their_own_programs() -> None:
    other = terms(program_id="per-kwh", owner_share=0.0, per_kwh_micros=300_000)
    agreements = known(SHARE_60, other, enrolment("a"), enrolment("b", "per-kwh"), enrolment("d"))
    found = agreements.columns(["a", "b", "c", "d"], 100)
    assert [found.programs[code].program_id if code >= 0 else "" for code in found.code] == [
        "share-60",
        "per-kwh",
        "",
        "share-60",
    ]
    assert found.rates([p.per_kwh_micros for p in found.programs]).tolist() == [0, 300_000, 0, 0]


def test_an_enrolment_in_an_unknown_program_earns_nothing_until_it_is_known() -> None:
    agreements = known(enrolment())
    assert agreements.columns(["home-1"], 100).code.tolist() == [-1]
    assert agreements.apply(SHARE_60) is None
    assert agreements.columns(["home-1"], 100).code.tolist() == [0]


def test_an_end_can_be_added_to_an_enrolment() -> None:
    agreements = known(SHARE_60, enrolment(), enrolment(until_ms=300))
    assert agreements.enrolment("home-1", 300) is None
    assert agreements.apply(enrolment(effective_from_ms=300)) is None


def test_the_tariff_is_that_of_the_enrolment() -> None:
    later = msgspec.structs.replace(TARIFF, version=2, effective_from_ms=2 * 10**12)
    agreements = known(TARIFF, later, enrolment(tariff_id=TARIFF.tariff_id))
    assert agreements.tariff("home-1", TARIFF.effective_from_ms) == TARIFF
    assert agreements.tariff("home-1", 2 * 10**12) == later
    assert agreements.tariff("home-1", 100) is None
    assert agreements.tariff("home-2", 10**12) is None


@pytest.mark.parametrize(
    ("record", "sentence"),
    [
        (terms(owner_share=0.0), "program share-60 pays nothing: give it a share or a price"),
        (
            terms(opt_outs_per_month=0, opt_out_notice_s=60),
            "program share-60 has a notice for opt-outs and allows none",
        ),
        (
            terms(per_kw_hour_micros=1, per_kw_month_micros=1),
            "program share-60 pays for availability by the hour and by the month",
        ),
        (
            terms(owner_share=0.5),
            "version 1 of share-60 has other terms; new terms are a new version",
        ),
        (terms(version=2), "version 2 of share-60 must begin after version 1"),
        (
            terms(version=2, effective_from_ms=1, currency="USD"),
            "share-60 is paid in EUR; another currency is another id",
        ),
        (enrolment("x", until_ms=100), "the enrolment of x ends before it begins"),
        (
            enrolment(program_id="other", effective_from_ms=50),
            "home-1 takes part in share-60 at the same time; end that enrolment first",
        ),
        (
            enrolment(program_id="other", effective_from_ms=150),
            "home-1 takes part in share-60 at the same time; end that enrolment first",
        ),
    ],
)
def test_a_contradiction_is_one_sentence_and_changes_nothing(
    record: Program | Enrolment, sentence: str
) -> None:
    agreements = known(SHARE_60, enrolment())
    assert agreements.apply(record) == sentence
    assert agreements.program("share-60", 100) == SHARE_60
    assert agreements.enrolment("home-1", 160) == enrolment()


def test_a_record_that_arrives_again_is_no_contradiction() -> None:
    agreements = known(SHARE_60, TARIFF, enrolment())
    for record in (SHARE_60, TARIFF, enrolment()):
        assert agreements.apply(record) is None


@given(
    order=st.permutations(
        [SHARE_60, terms(version=2, effective_from_ms=50), enrolment(), enrolment("home-2")]
    )
)
def test_the_order_of_the_topics_does_not_matter(order: list[Program | Enrolment]) -> None:
    found = known(*order).columns(["home-1", "home-2"], 120)
    assert [found.programs[code].version for code in found.code] == [2, 2]
