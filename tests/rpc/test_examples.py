"""The clients in docs/examples, against real services: as a reader would start them."""

import asyncio
import itertools
import os
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from schemas.dispatch import RequestEvent
from tests.support.rpc_world import RpcWorld
from tests.support.waiting import PATIENCE_S
from tests.support.web_records import NOW_MS
from tests.support.web_world import KafkaInMemory, apply, fed_read_model, feed_control
from vpp_streams.kafka import topics

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "docs" / "examples"
TYPESCRIPT = EXAMPLES / "grpc-typescript"
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world() -> AsyncIterator[RpcWorld]:
    model = fed_read_model()
    feed_control(model)

    def answer(_topic: object, key: bytes, _value: bytes) -> None:
        told: dict[str, Any] = {"request_id": key.decode(), "region": "north", "at_ms": NOW_MS}
        apply(model, topics.DISPATCH_EVENTS, RequestEvent(state="active", **told))

    seconds = itertools.count()  # each look at the clock is a second later: states repeat
    world = RpcWorld(
        model,
        kafka=KafkaInMemory(answer),
        answer_s=5.0,
        now_ms=lambda: NOW_MS + next(seconds) * 1000,
    )
    async with world.running():
        publishing = asyncio.create_task(world.rpc.watches.run())
        yield world
        publishing.cancel()


async def run(*command: str, token: str = "", cwd: Path = ROOT) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *command,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=cwd,
        env={**os.environ, "VPP_TOKEN": token, "PYTHONPATH": str(ROOT)},
    )
    async with asyncio.timeout(5 * PATIENCE_S):
        output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode()


async def test_the_client_in_python_reads_orders_and_watches(world: RpcWorld) -> None:
    client = (sys.executable, str(EXAMPLES / "grpc_client.py"), f"127.0.0.1:{world.port}")
    token = world.entrance.token()
    code, output = await run(*client, "north", "--export-w", "5000", "--updates", "2", token=token)
    assert code == 0, output
    lines = output.splitlines()
    assert lines[0].startswith("north could hold 355.0 kW for 15 min (99% of its sites report")
    assert lines[1].endswith(": active ")
    assert lines[2:] == ["400000 W requested, 358000 W measured"] * 2
    code, output = await run(*client, "north", "--export-w", "nan", token=token)
    assert code == 1
    assert output.splitlines()[-1].startswith("INVALID_ARGUMENT: export_w: ")
    code, output = await run(*client, "atlantis", token=token)
    assert (code, "regions: north, south, west" in output) == (1, True)


async def test_the_client_in_typescript_is_built_and_watches(
    world: RpcWorld, tmp_path: Path
) -> None:
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is missing: install Node.js 20 or newer")
    folder = tmp_path / TYPESCRIPT.relative_to(ROOT)
    built = shutil.ignore_patterns("node_modules", "generated", "built")
    shutil.copytree(TYPESCRIPT, folder, ignore=built)
    shutil.copytree(ROOT / "proto", tmp_path / "proto")
    for step in (("ci", "--no-audit", "--no-fund"), ("run", "build")):
        code, output = await run(npm, *step, cwd=folder)
        assert code == 0, output
    client = ("node", "built/client.js", f"127.0.0.1:{world.port}")
    code, output = await run(*client, "north", "2", token=world.entrance.token(), cwd=folder)
    lines = output.splitlines()
    assert (code, len(lines)) == (0, 2), output
    assert all(line.startswith("north: battery 0 W, 99 % of its sites") for line in lines)
    code, output = await run(*client, "north", "2", token="", cwd=folder)
    assert (code, output.strip()) == (1, "UNAUTHENTICATED: a token is missing")
