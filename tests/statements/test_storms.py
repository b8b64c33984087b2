"""What storms really cost a home: measured energy from history, by the owner's tariff."""

from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from schemas.programs import Enrolment, Rate, Tariff
from tests.support.history_world import HistoryWorld
from tests.support.settle_world import DAY, HOUR, MINUTE, SHARE_60, START, home, site_window, storm
from vpp_streams.domain.settle.agreements import Agreements
from vpp_streams.domain.settle.storm_cost import StormBill
from vpp_streams.settings import Settings
from vpp_streams.statements.storms import StormCosts, StormFacts

UTC = ZoneInfo("UTC")
QUARTER = 15 * MINUTE
FLAT = Tariff(
    tariff_id="flat",
    version=1,
    currency="EUR",
    time_zone="UTC",
    effective_from_ms=0,
    buy=(Rate(from_="00:00", until="24:00", per_kwh_micros=300_000),),
    sell=(Rate(from_="00:00", until="24:00", per_kwh_micros=80_000),),
)


def facts(*, tariff_id: str = "flat") -> StormFacts:
    terms = Agreements()
    for record in (
        SHARE_60,
        FLAT,
        Enrolment(
            site_id="home-1",
            program_id=SHARE_60.program_id,
            effective_from_ms=0,
            tariff_id=tariff_id,
        ),
    ):
        assert terms.apply(record) is None
    return StormFacts([storm(0, HOUR)], home("home-1"), None, terms)


def bill(of: StormFacts, root: Path, now_ms: int = START + DAY) -> StormBill | None:
    return StormCosts(Settings(history=root)).bill(of, "2025-11", UTC, now_ms)


def test_what_the_battery_took_in_a_storm_is_priced(tmp_path: Path) -> None:
    """It took 500 Wh in one quarter and gave 100 in the next; one is missing, one is ahead."""
    world = HistoryWorld(tmp_path)
    quarters = [(-500.0, 600.0), (100.0, -50.0)]
    world.write(
        "site.windows",
        [
            *(
                site_window("home-1", START + n * QUARTER, battery, grid, size_s=900)
                for n, (battery, grid) in enumerate(quarters)
            ),
            site_window("home-1", START + 2 * HOUR, -9_000.0, 9_000.0, size_s=900),
            site_window("home-2", START, -9_000.0, 9_000.0, size_s=900),
        ],
    )
    found = bill(facts(), tmp_path, now_ms=START + 3 * QUARTER)
    assert found == StormBill(
        micros=180_000 - 4_000 - 30_000 - 15_000,
        unknown=1,
        with_micros=180_000 - 4_000,
        without_micros=30_000 + 15_000,
        charged_wh=400.0,
    )


@pytest.mark.parametrize("of", [facts(tariff_id=""), facts(tariff_id="other")])
def test_without_a_tariff_no_cost_is_known(of: StormFacts, tmp_path: Path) -> None:
    assert bill(of, tmp_path) is None


def test_without_a_history_every_interval_is_unknown(tmp_path: Path) -> None:
    assert bill(facts(), tmp_path / "none") == StormBill(0, 4)
