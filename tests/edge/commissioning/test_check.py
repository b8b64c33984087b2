"""A home is checked on simulated hardware, sound and faulty, and a small gateway."""

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from edge.clock import utc_ms
from edge.commissioning.check import Check
from edge.commissioning.judge import Finding, all_well
from edge.config import read_config
from edge.driver import Reading, Readings
from edge.drivers.simulated import Options, SimulatedHome
from tests.support.edge_agent import DEVICE_ID
from tests.support.edge_ring import file_ring
from tests.support.paths import ROOT
from tests.support.small_gateway import SmallGateway, small_gateway


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.commissioning.check.BEAT_S", 0.02)
    monkeypatch.setattr("edge.commissioning.check.CONNECT_S", 0.5)
    monkeypatch.setattr("edge.commissioning.judge.ANSWER_MS", 150)
    monkeypatch.setattr("edge.commissioning.judge.GIVE_UP_MS", 600)


def config_file(folder: Path, url: str, reserve: float = 0.2) -> Path:
    (folder / "token").write_text("secret\n")
    path = folder / "edge.toml"
    path.write_text(
        f"""
[gateway]
url = "{url}"
device_id = "{DEVICE_ID}"
token_file = "token"
[home]
backup_reserve = {reserve}
[driver]
name = "simulated"
solar_w = 0
[storage]
path = "ring.db"
"""
    )
    return path


class Faulty(SimulatedHome):
    """An inverter whose measurements, or whose obedience, are changed by a test."""

    def __init__(self, change: Callable[[str, float], float] | None = None, **more: Any) -> None:
        super().__init__(Options(solar_w=0.0, **more), clock_ms=lambda: self.hour_utc * 3_600_000)
        self._change = change or (lambda _, value: value)
        self.hour_utc = 12
        """The household's load, which the battery supplies, depends on it."""
        self.obeys = True
        self.lag = 0
        self.released = 0

    async def read(self) -> Readings:
        found = await super().read()
        return tuple(Reading(r.quantity, self._change(r.quantity, r.value)) for r in found)

    async def apply(self, power_w: float, until_ms: int) -> None:
        self.lag -= 1
        if self.obeys and self.lag < 0:
            await super().apply(power_w, until_ms)

    async def release(self) -> None:
        self.released += 1
        await super().release()


async def checked(
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
    gateway: SmallGateway,
    driver: SimulatedHome,
    reserve: float = 0.2,
) -> dict[str, Finding]:
    monkeypatch.setattr("edge.drivers.simulated.driver", lambda _: driver)
    said: list[Finding] = []
    check = Check(read_config(config_file(folder, gateway.url, reserve)), said.append)
    await check.run()
    assert said == check.findings
    return {finding.step: finding for finding in said}


async def test_a_sound_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    driver = Faulty()
    async with small_gateway() as gateway:
        found = await checked(monkeypatch, tmp_path, gateway, driver)
    assert {finding.outcome for finding in found.values()} == {"ok"}
    assert list(found) == [
        "inverter", "connection", "reading", "quantities", "balance", "signs", "clock", "limits",
        "pulse +500 W", "pulse -500 W", "release",
    ]  # fmt: skip
    assert "as home-1, without TLS, token" in found["connection"].seen
    assert "reserve 20% (state of charge 60.0%)" in found["limits"].seen
    assert gateway.hellos[0].measures_only, "the cloud sends no command meanwhile"
    assert driver.released == 1
    ring = file_ring(tmp_path / "ring.db")
    assert (len(ring), ring.next_seq) == (0, 5), "the readings of the check are the home's own"
    ring.close()


@pytest.mark.parametrize(
    ("faulty", "step", "words"),
    [
        (lambda n, v: -v if n == "battery_w" else v, "balance", "sign of battery_w"),
        (lambda n, v: -v if n == "battery_w" else v, "pulse +500 W", "the other way"),
        (lambda n, v: v + 400 if n == "load_w" else v, "balance", "expected within"),
        (lambda n, v: v * 100 if n == "soc" else v, "quantities", "a fraction from 0 to 1"),
    ],
)
async def test_wrong_measurements(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    faulty: Callable[[str, float], float],
    step: str,
    words: str,
) -> None:
    driver = Faulty(faulty)
    async with small_gateway() as gateway:
        found = await checked(monkeypatch, tmp_path, gateway, driver)
    assert found[step].outcome == "failed"
    assert words in found[step].seen
    assert driver.released == (0 if step == "quantities" else 1)


@pytest.mark.parametrize("hour_utc", [3, 12, 19])
async def test_a_stuck_inverter_is_released_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hour_utc: int
) -> None:
    """At 3 it supplies about what the pulse charges: that is no sign of a reversed sign."""
    driver = Faulty()
    driver.hour_utc = hour_utc
    driver.obeys = False
    async with small_gateway() as gateway:
        found = await checked(monkeypatch, tmp_path, gateway, driver)
    assert found["pulse -500 W"].outcome == "failed"
    assert "remote control" in found["pulse -500 W"].what_to_do
    assert (found["release"].outcome, driver.released) == ("ok", 1)


async def test_without_a_connection_the_inverter_is_checked_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with small_gateway() as gateway:
        gateway.refuse = True
        found = await checked(monkeypatch, tmp_path, gateway, Faulty())
    assert "refused: HTTP 401 wrong token" in found["connection"].seen
    assert found["reading"].outcome == found["clock"].outcome == "not tried"
    assert found["pulse +500 W"].outcome == "ok"
    assert not all_well(found.values())


async def test_readings_that_nobody_acknowledges(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.commissioning.check.ACK_S", 0.1)
    async with small_gateway() as gateway:
        gateway.acks = False
        found = await checked(monkeypatch, tmp_path, gateway, Faulty())
    assert found["reading"].outcome == "failed"


async def test_a_clock_that_is_off_by_an_hour(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.commissioning.check.utc_ms", lambda: utc_ms() - 3_600_000)
    async with small_gateway() as gateway:
        found = await checked(monkeypatch, tmp_path, gateway, Faulty())
    assert found["clock"].outcome == "failed"
    assert "3600" in found["clock"].seen
    assert "behind" in found["clock"].seen


async def test_the_reserve_forbids_a_discharge(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with small_gateway() as gateway:
        found = await checked(monkeypatch, tmp_path, gateway, Faulty(soc=0.2))
    assert found["pulse +500 W"].outcome == "not tried"
    assert "at the reserve, 20%" in found["pulse +500 W"].seen
    # At its reserve a battery charges by itself, with more or less than 500 W.
    assert found["pulse -500 W"].outcome in ("ok", "not tried")
    assert all_well(found.values())


async def test_what_takes_no_command_gets_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = Faulty(can_set_power=False)
    async with small_gateway() as gateway:
        found = await checked(monkeypatch, tmp_path, gateway, driver)
    assert found["pulse +500 W"].outcome == "not tried"
    assert "release" not in found
    assert driver.released == 0


async def test_one_that_is_stopped_releases_the_inverter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.commissioning.judge.GIVE_UP_MS", 60_000)
    driver = Faulty()
    driver.obeys = False
    applied = asyncio.Event()

    async def apply(power_w: float, until_ms: int) -> None:
        applied.set()

    monkeypatch.setattr(driver, "apply", apply)
    async with small_gateway() as gateway:
        task = asyncio.create_task(checked(monkeypatch, tmp_path, gateway, driver))
        await applied.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert driver.released == 1


async def test_as_a_command_beside_an_agent_and_stopped_by_ctrl_c(tmp_path: Path) -> None:
    async with small_gateway() as gateway:
        path = config_file(tmp_path, gateway.url)
        command = [sys.executable, "-m", "edge", "check", "--json", str(path)]
        running = file_ring(tmp_path / "ring.db")
        done = await asyncio.to_thread(
            subprocess.run, command, capture_output=True, text=True, cwd=ROOT, timeout=50
        )
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == (
            "vpp edge: an agent runs on this storage: stop it first (systemctl stop vpp-edge)\n"
        )
        running.close()
        process = await asyncio.create_subprocess_exec(
            *command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT
        )
        try:
            await gateway.until(lambda: len(gateway.live) > 0)
            process.send_signal(signal.SIGINT)
            out, err = await process.communicate()
        finally:
            with suppress(ProcessLookupError):
                process.kill()
    assert process.returncode == 1, err
    assert err == b"vpp edge: stopped, and the inverter is released\n"
    assert [json.loads(line)["outcome"] for line in out.splitlines()] == ["ok", "ok"]
