"""The devices in docs/examples: against a real gateway, and against the check of vpp.v1."""

import ast
import asyncio
import importlib.util
import re
import shutil
import subprocess
import sys
from contextlib import suppress
from types import ModuleType

import msgspec
import pytest

from tests.support.conformance import failed
from tests.support.memory_gateway import DEVICE_ID, TOKEN, gateway_in_memory
from tests.support.paths import DOCS
from tests.support.virtual_time import in_virtual_time
from vpp_streams.conformance.device_check import SCENARIOS, check_device
from vpp_streams.conformance.gateway_player import GatewayPlayer, Manners, playing_gateway
from vpp_streams.conformance.timing import DeviceTiming
from vpp_streams.conformance.transcript import Reading, hellos, live_readings, readings
from vpp_streams.conformance.verdicts import Verdict
from vpp_streams.gateway.actions import Limits

PYTHON, NODE = DOCS / "examples" / "device.py", DOCS / "examples" / "device.mjs"
LEFT_OUT = {"D-19", "D-36", "D-38"}


def python_example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("device_example", PYTHON)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def node_command() -> list[str]:
    """Node with a WebSocket, or a skip."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node")
    words = [node, "-e", "process.exit(typeof WebSocket === 'function' ? 0 : 1)"]
    for option in ([], ["--experimental-websocket"]):
        found = subprocess.run([node, *option, *words[1:]], check=False, capture_output=True)
        if found.returncode == 0:
            return [node, *option, str(NODE)]
    pytest.skip("this node has no WebSocket: it is older than 20.10")


@pytest.mark.parametrize("language", ["python", "node"])
async def test_an_example_reports_to_a_real_gateway(language: str) -> None:
    command = [sys.executable, str(PYTHON)] if language == "python" else node_command()
    async with (
        asyncio.timeout(60),
        gateway_in_memory(Limits(interval_ms=50, ack_ms=50)) as (gateway, outlet),
    ):
        url = f"ws://127.0.0.1:{gateway.port}"
        process = await asyncio.create_subprocess_exec(*command, url, DEVICE_ID, TOKEN)
        try:
            await outlet.until(lambda: gateway.health.counters["acks"] >= 2)
        finally:
            process.kill()
            await process.wait()
    lines = outlet.readings
    assert [line.seq for line in lines] == list(range(len(lines)))
    assert all(msgspec.json.decode(line.body)["pv"] == 1234.5 for line in lines)
    assert gateway.health.counters["bad_messages"] == 0


def test_the_python_example_meets_what_it_does_not_leave_out() -> None:
    async def checked() -> dict[str, Verdict]:
        async with playing_gateway("127.0.0.1", 0, Manners()) as player:
            device = asyncio.create_task(python_example().run(player.url, "lab-1", "any"))
            lines = await check_device(player, DeviceTiming(), scenarios=SCENARIOS)
            device.cancel()
            with suppress(asyncio.CancelledError):
                await device
            return {line.obligation.id: line.verdict for line in lines}

    verdicts = in_virtual_time(checked())
    assert set(failed(verdicts)) == LEFT_OUT
    passed = {id_ for id_, verdict in verdicts.items() if verdict.outcome == "pass"}
    assert passed >= {"D-6", "D-14", "D-16", "D-17", "D-18", "D-22", "D-35", "D-39"}


async def test_the_node_example_comes_back_with_what_was_not_acked() -> None:
    command = node_command()
    manners = Manners(interval_ms=50, acks=False, turn_away=True)
    async with asyncio.timeout(60), playing_gateway("127.0.0.1", 0, manners) as player:
        process = await asyncio.create_subprocess_exec(*command, player.url, "lab-1", "any")
        try:
            assert await player.journal.until(lambda: bool(player.journal.events), 30_000)
            player.behave(turn_away=False)
            assert await player.connection(-1, 30_000)
            link = player.link
            assert await player.journal.until(lambda: len(live(player, link)) >= 3, 30_000)
            player.cut()
            player.behave(acks=True)
            assert await player.connection(link, 30_000)
            again = {reading.seq for reading in live(player, link)}
            assert await player.journal.until(lambda: again <= backfilled(player), 30_000)
        finally:
            process.kill()
            await process.wait()
    (first, second) = [hello for _, hello in hellos(player.journal.events)]
    assert (first.boot, first.next_seq) == (second.boot, 0)
    assert second.next_seq > max(again)


def live(player: GatewayPlayer, link: int) -> list[Reading]:
    return live_readings(player.journal.events, link)


def backfilled(player: GatewayPlayer) -> set[int]:
    return {reading.seq for reading in readings(player.journal.events) if not reading.live}


def test_examples_say_what_they_leave_out_and_are_short() -> None:
    for path in (PYTHON, NODE):
        assert set(re.findall(r"D-\d+", path.read_text())) == LEFT_OUT
    (run,) = [n for n in ast.parse(PYTHON.read_text()).body if isinstance(n, ast.AsyncFunctionDef)]
    assert (run.end_lineno or 0) - run.body[0].lineno <= 30  # beside its docstring
