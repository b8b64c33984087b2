"""Tables in a pipe, counts in words, and times with their zone."""

import time
from collections.abc import Iterator

import pytest

from schemas.assets import Device, Site
from vpp_streams.cli.screens.asset_tables import counted, show_sites
from vpp_streams.cli.screens.dispatch_view import clock

LONG = "home-" + "x" * 58


@pytest.fixture
def in_berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_an_id_is_complete_in_a_pipe(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    devices = tuple(Device(f"powerwall-{n}-{'y' * 40}", "powerwall") for n in range(3))
    show_sites([Site(LONG, "north", devices)], as_json=False)
    _, row, _ = capsys.readouterr().out.splitlines()
    assert LONG in row
    assert ", ".join(device.device_id for device in devices) in row


def test_one_of_something_is_singular() -> None:
    site = Site("home-1", "north", (Device("pw-1", "powerwall"),))
    assert counted([site]) == "1 site, 1 device"
    assert counted([site, site]) == "2 sites, 2 devices"


@pytest.mark.parametrize(
    ("at_ms", "shown"), [(0, "01:00:00 CET"), (1_750_000_000_000, "17:06:40 CEST")]
)
@pytest.mark.usefixtures("in_berlin")
def test_a_time_says_its_zone(at_ms: int, shown: str) -> None:
    assert clock(at_ms) == shown
