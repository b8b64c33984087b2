"""What the local page says, with a trouble and without."""

from pathlib import Path

import pytest

from edge.driver import DriverError, Reading, Readings
from edge.drivers.simulated import Options, SimulatedHome
from edge.page import page_of
from edge.status import Status, power_words, status_of
from schemas.bodies import Quality
from tests.support.edge_agent import DEVICE_ID, OPTIONS, agent_at, running
from tests.support.small_gateway import small_gateway
from tests.support.waiting import until

STATUS = Status(
    device_id="home-1",
    url="wss://vpp.example.org",
    connected=True,
    login="by token",
    battery="discharges 1,200 W: a command of the power station, until 12:00:00",
    reserve=0.2,
    readings=(
        Reading("battery_w", 1200.0),
        Reading("soc", 0.634),
        Reading("load_w", 800.4, Quality.ESTIMATED),
        Reading("islanded", 0.0),
    ),
    age_s=0.4,
    kept=12_345,
    dropped=0,
    on_disk=True,
    troubles=(),
)


@pytest.fixture(autouse=True)
def quick_beats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.agent.BEAT_MS", 20)


def test_a_home_without_troubles() -> None:
    page = page_of(STATUS)
    assert "All is well" in page
    assert "<script" not in page
    for words in (
        "discharges 1,200 W: a command",
        "20% of the battery is never sold",
        "connected: wss://vpp.example.org",
        "12,345 on the disk",
        "Measured 0 s ago",
        "63.4 %",
        "estimated, not sent",
        "not measured",
    ):
        assert words in page
    assert page.count("not measured") == 5


def test_troubles_are_said_first_and_are_only_text() -> None:
    page = page_of(
        Status(**{name: getattr(STATUS, name) for name in Status.__slots__} | {
            "troubles": ("a <b> & c", "another"), "connected": False, "age_s": None, "readings": (),
        })
    )  # fmt: skip
    assert "2 troubles" in page
    assert "<li>a &lt;b&gt; &amp; c</li>" in page
    assert page.index("another") < page.index("not connected")
    assert "Nothing was measured yet" in page


def test_a_power_in_words() -> None:
    assert power_words(1234.6) == "discharges 1,235 W"
    assert power_words(-500.0) == "charges 500 W"
    assert power_words(0.0) == "holds 0 W"


async def test_why_the_battery_does_what_it_does(tmp_path: Path) -> None:
    async with small_gateway() as gateway:
        gateway.interval_ms = 20
        agent = agent_at(gateway, tmp_path)
        assert "has not answered yet" in status_of(agent).battery
        async with running(agent):
            await gateway.until(lambda: len(gateway.live) > 1)
            assert "in the inverter's own mode" in status_of(agent).battery
            await gateway.command(DEVICE_ID, 1, -2000.0)
            words = "charges 2,000 W: a command of the power station, until "
            await until(lambda: status_of(agent).battery.startswith(words))
            assert status_of(agent).troubles == ()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (Options(solar_w=0.0, soc=0.2, own_reserve=0.0), "kept at the owner's reserve"),
        (Options(can_set_power=False), "measured only"),
    ],
)
async def test_the_reserve_and_a_home_that_is_measured_only(
    tmp_path: Path, options: Options, words: str
) -> None:
    async with (
        small_gateway() as gateway,
        running(agent_at(gateway, tmp_path, SimulatedHome(options))) as agent,
    ):
        await until(lambda: words in status_of(agent).battery)


async def test_every_trouble_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.status.MEASURED_FOR_MS", 100)

    class Broken(SimulatedHome):
        broken = False

        async def read(self) -> Readings:
            if self.broken:
                raise DriverError("no answer from 192.0.2.7")
            return await super().read()

    driver = Broken(OPTIONS)
    async with (
        small_gateway() as gateway,
        running(agent_at(gateway, tmp_path, driver)) as agent,
    ):
        await gateway.until(lambda: len(gateway.live) > 1)
        driver.broken = gateway.refuse = True
        gateway.sockets[DEVICE_ID].transport.abort()
        await until(lambda: len(status_of(agent).troubles) == 3)
        link, inverter, measured = status_of(agent).troubles
    assert "HTTP 401 wrong token" in link
    assert inverter == "The inverter: read: no answer from 192.0.2.7."
    assert measured.startswith("Nothing was measured for 10 s")
