"""The agent against a small gateway: real sockets, a simulated inverter, a ring on the disk."""

import asyncio
import json
import signal
import urllib.request
from pathlib import Path

import pytest

from edge.agent import ReplacedError
from edge.driver import DriverError, Identity, Readings
from edge.drivers.simulated import Options, SimulatedHome
from edge.health import serving
from schemas.protocol import CLOSE_REPLACED
from tests.support.edge_agent import DEVICE_ID, OPTIONS, agent_at, agent_process, running
from tests.support.edge_ring import file_ring
from tests.support.small_gateway import small_gateway
from tests.support.waiting import PATIENCE_S, until


@pytest.fixture(autouse=True)
def quick_beats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.agent.BEAT_MS", 20)


async def test_readings_are_acked_and_a_setpoint_is_obeyed(tmp_path: Path) -> None:
    async with small_gateway() as gateway:
        gateway.interval_ms = 20
        inverter = SimulatedHome(OPTIONS)
        async with running(agent_at(gateway, tmp_path, inverter)) as agent:
            await gateway.until(lambda: len(gateway.live) > 5)
            await gateway.command(DEVICE_ID, 1, -2000.0, lasts_ms=60_000)
            reports = gateway.reports.setdefault(DEVICE_ID, [])
            await gateway.until(lambda: len(reports) == 1)
            await until(lambda: inverter.battery_w == -2000)
            assert agent.inverter.held is not None
        assert gateway.answers[DEVICE_ID] == ["accepted"]
        assert reports[0].state == "applied"
        assert reports[0].p == pytest.approx(-2000, rel=0.05)  # its ramp's last step may be ahead
        assert inverter.battery_w > 0, "it was released at the end"
    assert gateway.requests[0].headers["Authorization"] == "Bearer secret"
    assert agent.counters["acked"] > 0
    assert (gateway.hellos[0].model, gateway.hellos[0].measures_only) == ("simulated", False)


async def test_a_lost_link_loses_no_reading_and_a_new_agent_goes_on(tmp_path: Path) -> None:
    async with small_gateway() as gateway:
        gateway.interval_ms = 20
        async with running(agent_at(gateway, tmp_path)) as agent:
            await gateway.until(lambda: len(gateway.live) > 5)
            gateway.refuse = True
            gateway.acks = False
            gateway.sockets[DEVICE_ID].transport.abort()
            await gateway.until(lambda: len(gateway.requests) > 3)
            assert len(agent.ring) > 0
        gateway.refuse, gateway.acks = False, True
        async with running(agent_at(gateway, tmp_path)) as again:
            made = agent.ring.next_seq
            await gateway.until(lambda: set(range(made)) <= gateway.seqs())
    assert agent.counters["made"] == made
    assert {(hello.boot, hello.next_seq >= made) for hello in gateway.hellos[1:]} == {("b1", True)}
    assert again.ring.next_seq == made + again.counters["made"]
    assert all(len(times) == 1 for times in gateway.times_ms.values()), "a name is given once"


async def test_without_a_network_the_reserve_is_kept(tmp_path: Path) -> None:
    async with small_gateway() as gateway:
        gateway.refuse = True
        inverter = SimulatedHome(Options(solar_w=0.0, load_w=4000.0, soc=0.2, own_reserve=0.0))
        async with running(agent_at(gateway, tmp_path, inverter)) as agent:
            await gateway.until(lambda: agent.counters["made"] > 3)
            assert inverter.battery_w <= 0
        assert inverter.battery_w > 0, "which its own mode would have sold"


async def test_a_home_that_cannot_be_commanded_is_measured(tmp_path: Path) -> None:
    async with small_gateway() as gateway:
        gateway.interval_ms = 20
        inverter = SimulatedHome(Options(can_set_power=False))
        async with running(agent_at(gateway, tmp_path, inverter)) as agent:
            await gateway.until(lambda: len(gateway.live) > 2)
            await gateway.command(DEVICE_ID, 1, -2000.0)
            await gateway.until(lambda: DEVICE_ID in gateway.answers)
    assert gateway.hellos[0].measures_only
    assert gateway.answers[DEVICE_ID] == ["rejected"]
    assert agent.counters["driver_apply_ok"] + agent.counters["driver_release_ok"] == 0


async def test_a_stuck_driver_holds_up_neither_link_nor_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.driver_calls.READ_S", 0.05)
    monkeypatch.setattr("edge.agent.MEASURED_FOR_MS", 200)

    class Silent(SimulatedHome):
        silent = False

        async def read(self) -> Readings:
            if self.silent:
                await asyncio.Event().wait()
            return await super().read()

    async with small_gateway() as gateway:
        gateway.interval_ms = 20
        inverter = Silent(OPTIONS)
        async with running(agent_at(gateway, tmp_path, inverter)) as agent:
            await gateway.until(lambda: len(gateway.live) > 2)
            await gateway.command(DEVICE_ID, 1, -2000.0)
            reports = gateway.reports.setdefault(DEVICE_ID, [])
            await gateway.until(lambda: len(reports) == 1)
            inverter.silent = True
            await gateway.until(lambda: len(reports) == 2)
            made = agent.counters["made"]
            assert (reports[1].state, reports[1].reason) == ("failed", "unmeasured")
            await gateway.command(DEVICE_ID, 2, -1000.0)
            await gateway.until(lambda: len(gateway.answers[DEVICE_ID]) == 2)
            assert gateway.answers[DEVICE_ID] == ["accepted", "rejected"]
            assert agent.counters["made"] == made, "no reading was made up"
            inverter.silent = False
            await gateway.until(lambda: agent.counters["made"] > made)
    assert agent.counters["driver_read_timeout"] >= 1


async def test_hardware_that_answers_late_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.agent._IDENTIFY_AGAIN_S", 0.01)

    class Asleep(SimulatedHome):
        asks = 0

        async def identify(self) -> Identity:
            self.asks += 1
            if self.asks < 3:
                raise DriverError("it starts")
            return await super().identify()

    async with (
        small_gateway() as gateway,
        running(agent_at(gateway, tmp_path, Asleep(OPTIONS))) as agent,
    ):
        await gateway.until(lambda: len(gateway.hellos) == 1)
    assert agent.counters["driver_identify_error"] == 2


async def test_an_agent_whose_place_was_taken_stops(tmp_path: Path) -> None:
    async with small_gateway() as gateway:
        agent = agent_at(gateway, tmp_path)
        task = asyncio.create_task(agent.run())
        await gateway.until(lambda: len(gateway.live) > 0)
        await gateway.sockets[DEVICE_ID].close(CLOSE_REPLACED)
        with pytest.raises(ReplacedError, match="another client connected as home-1"):
            await task


async def test_the_local_page_and_metrics(tmp_path: Path) -> None:
    def get(path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=PATIENCE_S) as answer:
            return str(answer.read().decode())

    async with small_gateway() as gateway, running(agent_at(gateway, tmp_path)) as agent:
        await gateway.until(lambda: len(gateway.live) > 0)
        with serving(agent, 0) as port:
            state = json.loads(await asyncio.to_thread(get, "/state.json"))
            page = await asyncio.to_thread(get, "/")
            metrics = await asyncio.to_thread(get, "/metrics")
    assert (state["connected"], state["measured_soc"] > 0.5, state["commanded_w"]) == (
        1,
        True,
        None,
    )
    assert "All is well" in page
    assert "connected: ws://127.0.0.1:" in page
    assert (state["troubles"], state["login_usable"]) == ([], 1)
    assert state["battery"].startswith("in the inverter's own mode")
    assert state["counters"]["first_connects"] == 1
    assert 'vpp_edge_events_total{event="first_connects"} 1.0' in metrics
    assert "vpp_edge_measured_soc 0." in metrics


async def test_sigterm_releases_and_kill_loses_nothing(tmp_path: Path) -> None:
    """As a process: it measures at 1 Hz, is killed, goes on, and ends at SIGTERM with 0."""
    async with small_gateway() as gateway:
        first = agent_process(tmp_path, gateway)
        try:
            await gateway.until(lambda: len(gateway.live) > 0)
        finally:
            first.kill()
        await asyncio.to_thread(first.communicate)
        second = agent_process(tmp_path, gateway)
        try:
            await gateway.until(lambda: len(gateway.hellos) == 2)
            second.send_signal(signal.SIGTERM)
            _, log = await asyncio.to_thread(second.communicate, timeout=PATIENCE_S)
        finally:
            second.kill()
    assert second.returncode == 0, log
    assert "home-1 is a simulated" in log
    assert gateway.hellos[1].boot == gateway.hellos[0].boot
    assert gateway.hellos[1].next_seq > gateway.hellos[0].next_seq
    ring = file_ring(tmp_path / "ring.db")
    assert ring.next_seq >= gateway.hellos[1].next_seq
    ring.close()
