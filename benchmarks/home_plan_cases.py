"""The homes and tariffs of `benchmarks.home_plan`: what is measured, by name."""

from collections.abc import Iterator

from benchmarks.home_plan_data import (
    RecordedHome,
    ausgrid_home,
    caiso_spot,
    emhass_home,
    fontana_home,
    fontana_tariff,
    french_tariff,
    german_spot,
)
from benchmarks.home_plan_walk import Case
from edge.optimizer.home import Home, Tariff

BATTERY = Home(
    energy_wh=13_500.0, charge_w=5000.0, discharge_w=5000.0, reserve_soc=0.2, wear_per_mwh=10.0
)
"""A battery of the usual size for each home; a fifth of it is the owner's backup reserve."""


def cases() -> Iterator[Case]:
    """Each home with a time-of-use tariff, and with a dynamic one."""
    french, sydney = emhass_home(), ausgrid_home()
    yield _case(french, french_tariff(len(french.load_w), french.step_s), "time of use, FR")
    yield _case(french, german_spot(len(french.load_w), french.step_s, "2016-02-29"), "spot DE")
    yield _case(sydney, fontana_tariff(len(sydney.load_w), sydney.step_s), "time of use, CA")
    yield _case(sydney, german_spot(len(sydney.load_w), sydney.step_s, "2016-07-01"), "spot DE")
    for number in (1, 2):
        home = fontana_home(number)
        yield _case(home, fontana_tariff(len(home.load_w), home.step_s), "time of use, CA")
        yield _case(home, caiso_spot(len(home.load_w), home.step_s), "spot CA")


def _case(recorded: RecordedHome, tariff: Tariff, name: str) -> Case:
    return Case(
        recorded=recorded,
        home=BATTERY,
        tariff=tariff,
        tariff_name=name,
        day_ahead=name.startswith("spot"),
    )
