"""``vpp rpc`` as a process on a real Kafka: fed, an order written, ended by a signal."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
import msgspec
import pytest

from schemas.audit import AuditEvent
from schemas.bounds import PARTITIONS
from schemas.dispatch import Hold
from schemas.encoding import encode_json
from tests.support.kafka_world import read_all, write_raw
from tests.support.waiting import PATIENCE_S
from tests.support.web_records import region_live, site
from vpp.dispatch.v1 import dispatch_pb2, dispatch_pb2_grpc
from vpp.region.v1 import region_pb2, region_pb2_grpc
from vpp_streams import clock
from vpp_streams.domain.registry.hashing import partition_of
from vpp_streams.kafka import topics
from vpp_streams.kafka.topic import Topic
from vpp_streams.serving.operators import make_demo_operator
from vpp_streams.settings import Settings


@asynccontextmanager
async def running_rpc(
    settings: Settings, **more: str
) -> AsyncIterator[tuple[asyncio.subprocess.Process, list[dict[str, Any]]]]:
    """``vpp rpc`` in a process of its own, and the lines that it logs; killed if it still runs."""
    environment = {
        **os.environ,
        "VPP_KAFKA": settings.kafka,
        "VPP_NAMESPACE": settings.namespace,
        "VPP_STATE_DIR": str(settings.state_dir),
        "VPP_FLEET_URL": "http://127.0.0.1:9",
        "VPP_LOG_JSON": "true",
        **more,
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "vpp_streams", "rpc", "--port", "0"),
        env=environment,
        stderr=asyncio.subprocess.PIPE,
    )
    lines: list[dict[str, Any]] = []
    assert process.stderr is not None
    try:
        async with asyncio.timeout(PATIENCE_S):
            while not any(line.get("event") == "serving" for line in lines):
                line = await process.stderr.readline()
                assert line, lines
                lines.append(json.loads(line) if line.startswith(b"{") else {"said": line})
        yield process, lines
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.mark.kafka
async def test_records_are_served_an_order_is_written_and_a_signal_ends_it(
    topics_ready: Settings, tmp_path: Path
) -> None:
    settings, home = topics_ready, site(1)
    operators, access = make_demo_operator(tmp_path, "demo", "http://web.test")
    p = partition_of(home.site_id, PARTITIONS)
    await write_raw(settings, (topics.ASSETS, home.site_id, encode_json(home), p))
    async with running_rpc(settings, VPP_OPERATORS=str(operators)) as (process, lines):
        address = lines[-1]["address"]
        metadata = (("authorization", f"Bearer {access.token}"),)
        async with grpc.aio.insecure_channel(address) as channel:
            regions: Any = region_pb2_grpc.RegionServiceStub(channel)
            live = encode_json(region_live("north", clock.now_ms()))
            await write_raw(
                settings,
                (topics.REGION_LIVE, "north", b"junk", 0),
                (topics.REGION_LIVE, "north", live, 0),
            )
            await until_known(regions, metadata)
            watch = regions.WatchRegion(
                region_pb2.WatchRegionRequest(region="north"), metadata=metadata
            )
            first = await watch.read()
            assert first.region.sites_reporting == 73
            dispatch: Any = dispatch_pb2_grpc.DispatchServiceStub(channel)
            hold = dispatch_pb2.HoldRequest(region="north", reason="smoke")
            answer = await dispatch.Hold(hold, metadata=metadata, timeout=PATIENCE_S)
            # Nobody decides here, and the answer says so.
            assert answer.outcome.state == dispatch_pb2.REQUEST_STATE_WRITTEN
            noted = await first_of(settings, topics.AUDIT)
            process.send_signal(signal.SIGTERM)
            assert await end_of(watch) is grpc.StatusCode.UNAVAILABLE
        async with asyncio.timeout(PATIENCE_S):
            assert await process.wait() == 0
    written = await first_of(settings, topics.DISPATCH_TARGETS)
    record = msgspec.json.decode(written, type=Hold)
    assert (record.reason, record.source) == ("smoke", "operator:demo")
    event = msgspec.json.decode(noted, type=AuditEvent)
    assert (event.who, event.action, event.result) == ("demo", "DispatchService.Hold", "done")


async def first_of(settings: Settings, topic: Topic) -> bytes:
    """The value of a topic's first record, once there is one."""
    async with asyncio.timeout(PATIENCE_S):
        while not (found := await read_all(settings, topic.full(settings.namespace))):  # noqa: ASYNC110  # the log is elsewhere
            await asyncio.sleep(0.05)
    value: bytes = found[0].value
    return value


async def end_of(watch: Any) -> grpc.StatusCode:
    """The status with which a stream ends."""
    with suppress(grpc.aio.AioRpcError):
        while await watch.read() is not grpc.aio.EOF:
            pass
    code: grpc.StatusCode = await watch.code()
    return code


async def until_known(regions: Any, metadata: Any) -> None:
    """Wait until the record has been read."""
    request = region_pb2.GetRegionRequest(region="north")
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                await regions.GetRegion(request, metadata=metadata)
            except grpc.aio.AioRpcError as error:
                assert error.code() is grpc.StatusCode.NOT_FOUND  # noqa: PT017 - what is waited for
                await asyncio.sleep(0.05)
            else:
                return


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"VPP_KAFKA": "127.0.0.1:9"}, "no Kafka answers"),
        ({"VPP_HOST": "0.0.0.0"}, "VPP_RPC_PLAIN"),
    ],
)
async def test_what_cannot_work_is_one_line_with_the_way_out(
    settings: Settings, change: dict[str, str], says: str
) -> None:
    environment = {
        **os.environ,
        "VPP_KAFKA": settings.kafka,
        "VPP_STATE_DIR": str(settings.state_dir),
        **change,
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "vpp_streams", "rpc", "--port", "0"),
        env=environment,
        stderr=asyncio.subprocess.PIPE,
    )
    _, errors = await asyncio.wait_for(process.communicate(), PATIENCE_S)
    assert process.returncode not in (0, None)
    assert says in errors.decode()
    assert "Traceback" not in errors.decode()
    assert errors.decode().strip().splitlines()[-1].startswith("vpp: ")
