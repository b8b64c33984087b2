"""``vpp web`` on a real Kafka: what is written shows, junk is counted, it stops cleanly."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from schemas.audit import AuditEvent
from schemas.bounds import PARTITIONS
from schemas.dispatch import RequestEvent, Target
from schemas.encoding import encode_json
from schemas.presence import Presence
from tests.support.accounts_world import Entrance
from tests.support.kafka_world import plain_http, write_raw
from tests.support.waiting import PATIENCE_S
from tests.support.web_records import (
    command_frame,
    health,
    region_live,
    region_window,
    rejected,
    site,
    site_window,
)
from vpp_streams import clock
from vpp_streams.accounts.accounts import accounts_file
from vpp_streams.domain.registry.hashing import partition_of
from vpp_streams.kafka import topics
from vpp_streams.kafka.topic import Topic
from vpp_streams.serving.operators import make_demo_operator
from vpp_streams.settings import Settings

pytestmark = pytest.mark.kafka
TOO_DEEP = b'{"zz":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
"""JSON that nests deeper than an interpreter can follow."""
"""Far beyond what anything here takes; a wait without end would hang."""


class Web:
    """A running ``vpp web``."""

    def __init__(
        self, process: asyncio.subprocess.Process, url: str, headers: dict[str, str]
    ) -> None:
        self.process = process
        self.url = url
        self.headers = headers

    async def get(self, path: str) -> Any:
        async with plain_http(f"{self.url}/api/v1") as client:
            return (await client.get(path, headers=self.headers)).json()

    async def stop(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        async with asyncio.timeout(PATIENCE_S):
            return await self.process.wait()


@asynccontextmanager
async def running_web(
    settings: Settings, *arguments: str, **environment_of_its_own: str
) -> AsyncIterator[Web]:
    """``vpp web`` in a process of its own on a free port; killed if it still runs at the end."""
    path = accounts_file(settings)
    known = path.exists()
    entrance = Entrance(path=path, now_ms=clock.now_ms)
    if not known:
        entrance.add("watcher", ("operator", "*"))
    headers = {"Authorization": f"Bearer {entrance.token(name='watcher')}"}
    entrance.accounts.close()
    environment = {
        **os.environ,
        "VPP_KAFKA": settings.kafka,
        "VPP_NAMESPACE": settings.namespace,
        "VPP_STATE_DIR": str(settings.state_dir),
        "VPP_FLEET_URL": "http://127.0.0.1:9",
        "VPP_LOG_JSON": "true",
        **environment_of_its_own,
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "vpp_streams", "web", "--port", "0", *arguments),
        env=environment,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    try:
        async with asyncio.timeout(PATIENCE_S):
            async for line in process.stderr:
                if line.startswith(b"{") and "url" in (told := json.loads(line)):
                    yield Web(process, told["url"], headers)
                    break
            else:
                pytest.fail("vpp web ended before it listened")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def until(ask: Callable[[], Awaitable[Any]], fits: Callable[[Any], bool]) -> Any:
    """The first answer that fits."""
    give_up = time.monotonic() + PATIENCE_S
    while True:
        answer = None
        try:
            answer = await ask()
            if fits(answer):
                return answer
        except httpx.TransportError:
            pass  # it does not listen yet
        assert time.monotonic() < give_up, answer
        await asyncio.sleep(0.1)


async def test_what_is_written_shows_and_a_second_process_knows_the_last_hour(
    topics_ready: Settings,
) -> None:
    settings = topics_ready
    home = site(1)
    p = partition_of(home.site_id, PARTITIONS)
    presence = Presence("pw-001", home.site_id, "connected", 0, clock.now_ms())
    start_ms = clock.now_ms() // 60_000 * 60_000 - 120_000
    async with running_web(settings) as web:
        await write_raw(
            settings,
            (topics.ASSETS, home.site_id, encode_json(home), p),
            (topics.PRESENCE, "pw-001", encode_json(presence), p),
            (topics.SITE_WINDOWS, home.site_id, encode_json(site_window("home-001", start_ms)), p),
            (topics.REGION_WINDOWS, "north", encode_json(region_window("north", start_ms)), 0),
            (topics.TELEMETRY_REJECTED, "r", encode_json(rejected(1)), 3),
            (
                topics.HEALTH,
                "i",
                encode_json(health("ingest", clock.now_ms(), canonical=7, lag=2)),
                0,
            ),
            (topics.REGION_LIVE, "north", b"junk", 0),
            (topics.REGION_LIVE, "north", TOO_DEEP, 0),
            (topics.PRESENCE, "pw-001", TOO_DEEP, p),
            (topics.REGION_LIVE, "north", encode_json(region_live("north", clock.now_ms())), 0),
        )
        summary = await until(
            lambda: web.get("/summary"), lambda s: s["regions"] and s["canonical"]
        )
        assert (summary["canonical"], summary["lag"], summary["age_p99_ms"]) == (7, 2, 690)
        detail = await until(lambda: web.get("/sites/home-001"), lambda d: d.get("presence"))
        assert "no fleet worker answers" in detail["twin_error"]
        await until(lambda: web.get("/sites/home-001/windows"), lambda w: w["windows"])
        await until(lambda: web.get("/rejected"), lambda r: r["counts"] == {"bad_json": 1})
        found = await until(
            lambda: web.get("/health"),
            lambda h: {q["role"] for q in h["processes"]} == {"ingest", "web"},
        )
        assert found["undecodable"] == {"region.live": 2, "presence": 1}
        assert await web.stop(signal.SIGTERM) == 0
    async with running_web(settings) as web:
        region = await until(lambda: web.get("/regions/north"), lambda r: "soc" in r)
        assert region["soc"] == 0.618
        await until(lambda: web.get("/regions/north/windows"), lambda w: w["windows"])
        await until(lambda: web.get("/sites/home-001/windows"), lambda w: w["windows"])
        await until(lambda: web.get("/rejected"), lambda r: r["counts"] == {"bad_json": 1})
        assert (await web.get("/summary"))["age_p99_ms"] is None
        assert await web.stop(signal.SIGINT) == 0


async def test_it_stops_at_once_while_people_watch_the_stream(topics_ready: Settings) -> None:
    async with (
        running_web(topics_ready) as web,
        plain_http(web.url) as client,
    ):
        await until(lambda: web.get("/summary"), lambda s: "regions" in s)
        async with client.stream("GET", "/api/v1/stream", headers=web.headers) as response:
            lines = response.aiter_lines()
            async for line in lines:
                if line.startswith("data:"):
                    break
            web.process.send_signal(signal.SIGTERM)
            async for _ in lines:
                pass
        assert await asyncio.wait_for(web.process.wait(), PATIENCE_S) == 0


@pytest.mark.parametrize(
    ("change", "says"),
    [({"kafka": "127.0.0.1:9"}, "no Kafka answers"), ({"host": "192.0.2.1"}, "cannot listen")],
)
async def test_what_cannot_work_is_one_line_with_the_way_out(
    settings: Settings, change: dict[str, str], says: str
) -> None:
    settings = settings.model_copy(update=change)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "vpp_streams", "web", "--port", "0"),
        env={
            **os.environ,
            "VPP_KAFKA": settings.kafka,
            "VPP_HOST": settings.host,
            "VPP_STATE_DIR": str(settings.state_dir),
        },
        stderr=asyncio.subprocess.PIPE,
    )
    _, errors = await asyncio.wait_for(process.communicate(), PATIENCE_S)
    assert process.returncode not in (0, None)
    assert says in errors.decode()
    assert "Traceback" not in errors.decode()
    assert errors.decode().strip().splitlines()[-1].startswith("vpp: ")


async def test_an_order_reaches_kafka_and_its_answer_comes_back(
    topics_ready: Settings, tmp_path: Path
) -> None:
    """Against a region role of the test's: it accepts every request, and asks one device."""
    settings = topics_ready
    home = site(1)
    p = partition_of(home.site_id, PARTITIONS)
    operators, access = make_demo_operator(tmp_path, "demo", "http://web.test")
    headers = {"Authorization": f"Bearer {access.token}"}
    asked: list[Target] = []

    async def rule() -> None:
        async for key, value in read_for_ever(settings, topics.DISPATCH_TARGETS):
            request = msgspec.json.decode(value, type=Target)
            assert key == request.request_id.encode()
            asked.append(request)
            event = RequestEvent(
                request_id=request.request_id,
                region="north",
                state="accepted",
                at_ms=clock.now_ms(),
            )
            frame = command_frame(clock.now_ms(), {"pw-001": 3000.0}, request_id=request.request_id)
            await write_raw(
                settings,
                (topics.DISPATCH_EVENTS, "north", encode_json(event), 0),
                (topics.COMMANDS, "north", encode_json(frame), p),
            )

    ruling = asyncio.create_task(rule())
    try:
        await write_raw(settings, (topics.ASSETS, home.site_id, encode_json(home), p))
        async with (
            running_web(settings, VPP_OPERATORS=str(operators)) as web,
            plain_http(f"{web.url}/api/v1") as client,
        ):
            path, order = "/regions/north/targets", {"export_w": 3000, "for_s": 900}
            assert (await client.post(path, json=order)).status_code == 401
            answer = await client.post(path, json=order, headers=headers)
            assert (answer.status_code, answer.json()["state"]) == (201, "accepted")
            assert [target.export_w for target in asked] == [3000.0]
            story = await until(
                lambda: web.get("/devices/pw-001/commands"), lambda told: told["story"]
            )
            assert story["story"][0]["request_id"] == asked[0].request_id
            await until(lambda: web.get("/commands"), lambda told: told["commands"])
            audited = read_for_ever(settings, topics.AUDIT)
            async with asyncio.timeout(PATIENCE_S), aclosing(audited):
                _, value = await anext(audited)
            event = msgspec.json.decode(value, type=AuditEvent)
            assert (event.who, event.result) == ("demo", "done")
            assert event.action == "POST /regions/{region}/targets"
            assert event.detail == f"{asked[0].request_id} accepted"
            assert await web.stop(signal.SIGTERM) == 0
        assert not ruling.done()
    finally:
        ruling.cancel()
        await asyncio.gather(ruling, return_exceptions=True)


async def read_for_ever(
    settings: Settings, topic: Topic
) -> AsyncGenerator[tuple[bytes, bytes], None]:
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.kafka, enable_auto_commit=False)
    await consumer.start()
    try:
        partition = TopicPartition(topic.full(settings.namespace), 0)
        consumer.assign([partition])
        await consumer.seek_to_beginning(partition)
        async for record in consumer:
            yield record.key, record.value
    finally:
        await consumer.stop()
