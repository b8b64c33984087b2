"""Files of programs, tariffs and enrolments: exact records, or every mistake in a sentence."""

import pytest

from schemas.programs import Enrolment, Program, Tariff
from tests.support.pool_world import home
from vpp_streams.domain.files.program_files import EXAMPLE, Record, records_in
from vpp_streams.domain.settle.agreements import Agreements
from vpp_streams.errors import InputError

HOMES = [home(0), home(1, region="coast"), home(2, energy_wh=0.0)]
FIRST = HOMES[0].site_id
MINE = EXAMPLE.replace("home-0001", FIRST)


def read(text: str, known: Agreements | None = None) -> list[Record]:
    return records_in(text, "terms.toml", HOMES, known or Agreements())


def problems(text: str) -> list[str]:
    with pytest.raises(InputError) as caught:
        read(text)
    return str(caught.value).splitlines()


def test_the_example_is_read_exactly() -> None:
    program, tariff, enrolment = read(MINE)
    assert isinstance(program, Program)
    assert (program.owner_share, program.effective_from_ms) == (0.6, 1_796_079_600_000)
    assert isinstance(tariff, Tariff)
    assert [rate.per_kwh_micros for rate in tariff.buy] == [220_000, 340_000]
    assert enrolment == Enrolment(
        site_id=FIRST,
        program_id="share-60",
        tariff_id="day-and-night",
        effective_from_ms=1_796_079_600_000,
    )


def test_the_same_file_again_changes_nothing() -> None:
    known = Agreements()
    assert read(MINE, known) == read(MINE, known)


def test_a_region_means_its_sites_with_a_battery() -> None:
    text = MINE.replace(f'sites = ["{FIRST}"]', 'regions = ["north", "coast"]')
    enrolled = [one.site_id for one in read(text) if isinstance(one, Enrolment)]
    assert enrolled == sorted([FIRST, HOMES[1].site_id])


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[[program]]", "[[programme]]", "programme"),
        ("owner_share = 0.6", "owner_share = 1.6", "owner_share"),
        ("+01:00\nowner", "\nowner", "from"),
        ('until = "24:00"', 'until = "23:00"', "day-and-night"),
        ("per_kwh = 0.22", "per_kwh = 0.2200000004", "finer than a millionth"),
        (FIRST, "home-none", "there is no site 'home-none'"),
        (f'sites = ["{FIRST}"]', 'regions = ["moon"]', "there is no region 'moon'"),
        (f'sites = ["{FIRST}"]', "sites = []", "names neither sites nor regions"),
    ],
)
def test_mistakes_are_named(old: str, new: str, said: str) -> None:
    found = problems(MINE.replace(old, new, 1))
    assert all(line.startswith("terms.toml: ") for line in found)
    assert any(said in line for line in found), found


def test_every_mistake_is_said_at_once() -> None:
    text = MINE.replace(f'"{FIRST}"', '"home-a", "home-b"')
    assert len(problems(text)) == 2
    assert problems("") == ["terms.toml: it has no [[program]], [[tariff]] or [[enrolment]]"]


def test_what_contradicts_what_is_known_is_refused() -> None:
    known = Agreements()
    read(MINE, known)
    later = MINE.replace("share-60", "share-70").replace("day-and-night", "flat")
    with pytest.raises(InputError, match="takes part in share-60 at the same time"):
        read(later.replace("2026-12-01", "2026-12-15", 3), known)


@pytest.mark.parametrize("program", ["share-70", "share-60"])
def test_sites_are_not_enrolled_before_their_program_has_terms(program: str) -> None:
    text = MINE.replace('program = "share-60"', f'program = "{program}"')
    if program == "share-60":
        text = text.replace(
            "from = 2026-12-01T00:00:00+01:00\nowner", "from = 2027-01-01T00:00:00Z\nowner"
        )
    assert problems(text) == [
        f"terms.toml: program {program} has no terms when the enrolment of {FIRST} begins"
        " (enrolments: 1)"
    ]
