"""Earlier days from history: the windows that a baseline needs, and the days of events."""

from datetime import date
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pytest

from schemas.dispatch import RequestEvent
from tests.support.history_world import HistoryWorld
from tests.support.settle_world import (
    BERLIN,
    DAY,
    INTERVAL,
    MINUTE,
    START,
    award,
    delivery,
    site_window,
)
from vpp_streams.domain.settle.past import Need
from vpp_streams.errors import RefusedError
from vpp_streams.settlement.past_days import PastDays

YESTERDAY = (START - DAY, START - DAY + INTERVAL)
QUARTER = 900_000


def need(*spans: tuple[int, int], site_ids: tuple[str, ...] = ("home-1", "home-2")) -> Need:
    return Need(region="north", site_ids=site_ids, spans=spans, zone=BERLIN)


def request(
    state: str, at_ms: int, region: str = "north", request_id: str = "order"
) -> RequestEvent:
    fields = {"request_id": request_id, "region": region, "state": state, "at_ms": at_ms}
    return msgspec.convert(fields, RequestEvent)


def test_the_newest_windows_of_the_wanted_sites_are_found(tmp_path: Path) -> None:
    world = HistoryWorld(tmp_path)
    world.now_ms = START  # minutes are kept for some weeks
    minutes = [YESTERDAY[0] + n * MINUTE for n in range(6)]
    world.write(
        "site.windows",
        [
            *(site_window(site, at, 1.0, -1.0) for at in minutes for site in ("home-1", "other")),
            site_window("home-1", minutes[2], 5.0, -5.0, revision=1),
            site_window("home-1", minutes[3], 1.0, None, revision=1),
        ],
    )
    past = PastDays(tmp_path, 0).read(need(YESTERDAY))
    rows = past.windows.rows(pa.array(["home-1", "home-2", "other"]))
    found = past.windows.energies(rows, YESTERDAY)
    assert found.battery_wh[0] == 9.0
    assert found.grid_wh[0] == -8.0
    assert found.coverage.tolist() == [1.0, 0.0, 0.0]
    assert np.isnan(found.battery_wh[1:]).all()


def test_stretches_of_complete_quarters_are_read_by_the_quarter(tmp_path: Path) -> None:
    world = HistoryWorld(tmp_path)
    world.write("site.windows", [site_window("home-1", YESTERDAY[0], 30.0, -30.0, size_s=900)])
    span = YESTERDAY[0], YESTERDAY[0] + QUARTER
    past = PastDays(tmp_path, 0).read(need(span))
    found = past.windows.energies(past.windows.rows(pa.array(["home-1"])), span)
    assert found.battery_wh.tolist() == [30.0]


def test_days_on_which_batteries_were_called_are_days_of_events(tmp_path: Path) -> None:
    world = HistoryWorld(tmp_path)
    sold, idle = award(START - 2 * DAY), award(START - 3 * DAY, energy_w=0.0)
    world.write("market.deliveries", [delivery(sold, 6_000.0), delivery(idle, 0.0)])
    world.write(
        "dispatch.events",
        [
            request("active", START - 3 * DAY, request_id=idle.bid_id),
            request("active", START - 5 * DAY),
            request("accepted", START - 6 * DAY),
            request("active", START - 6 * DAY, region="south"),
        ],
    )
    past = PastDays(tmp_path, 0).read(
        need((START - 9 * DAY, START - 9 * DAY + INTERVAL), YESTERDAY)
    )
    assert past.event_days == {date(2025, 11, 21), date(2025, 11, 18)}


def test_without_a_history_nothing_is_guessed(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="vpp worker historian"):
        PastDays(tmp_path / "none", 0).read(need(YESTERDAY))
