"""``vpp openadr`` as a process: a VTN over HTTP on one side, Kafka on the other."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from schemas.dispatch import Limit, Request, Target, Withdraw
from schemas.encoding import decode_json
from schemas.grid import Alert, PriceSeries
from tests.support.kafka_world import read_all, until, write
from tests.support.openadr_world import SmallVtn, asking, event, served
from tests.support.paths import ROOT
from tests.support.web_records import region_live
from vpp_streams.kafka import topics
from vpp_streams.kafka.topic import Topic
from vpp_streams.settings import Settings


@contextmanager
def ven_process(settings: Settings, vtn: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "vpp_streams", "openadr", "--vtn", vtn, "--region", "north"]
    environment = {
        **os.environ, "VPP_KAFKA": settings.kafka, "VPP_NAMESPACE": settings.namespace,
        "VPP_OPENADR_CLIENT_ID": "ven-1", "VPP_OPENADR_CLIENT_SECRET": "s3cret",
    }  # fmt: skip
    with log.open("ab") as out:
        process = subprocess.Popen(
            [*command, "--every", "1"], cwd=ROOT, stdout=out, stderr=out, env=environment
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.mark.kafka
async def test_the_process_from_vtn_to_kafka_and_back_over_a_restart(
    topics_ready: Settings, tmp_path: Path
) -> None:
    """Killed while a request stands, it withdraws it at its next start if its event is gone."""
    settings, vtn, log = topics_ready, SmallVtn(), tmp_path / "ven.log"
    now = datetime.now(UTC)
    period = {"start": now.isoformat(), "duration": "PT1H"}
    vtn.put(event("DISPATCH_SETPOINT", -50, intervalPeriod=period))
    vtn.put(event("IMPORT_CAPACITY_LIMIT", 80, "e2", intervalPeriod=period))
    vtn.put(event("PRICE", 0.25, "e3", intervalPeriod=period))
    vtn.put(event("ALERT_WIND", "storm", "e4", intervalPeriod=period))
    vtn.put(asking({"payloadType": "STORAGE_CHARGE_LEVEL"}, id="e5", intervals=[]))

    async def read(topic: Topic, type_: Any) -> list[Any]:
        records = await read_all(settings, topic.full(settings.namespace))
        return [decode_json(r.value, type_) for r in records if r.value is not None]

    def having(topic: Topic, type_: Any, count: int) -> Callable[[], Any]:
        async def there() -> bool:
            return len(await read(topic, type_)) >= count

        return there

    async def reported() -> bool:
        # A region tells of itself all the time; what is old is not reported as now.
        live = region_live("north", round(datetime.now(UTC).timestamp() * 1000))
        await write(settings, topics.REGION_LIVE, live)
        return len(vtn.reports) == 1

    with served(vtn) as url:
        with ven_process(settings, url, log):
            await until(having(topics.DISPATCH_TARGETS, Request, 2), "two requests")
            await until(having(topics.MARKET_PRICES, PriceSeries, 1), "the prices")
            await until(having(topics.GRID_ALERTS, Alert, 1), "the storm")
            await until(reported, "a report")
        vtn.events = [e for e in vtn.events if e["id"] != "e1"]
        with ven_process(settings, url, log) as process:
            await until(having(topics.DISPATCH_TARGETS, Request, 3), "the withdrawal")
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=60) == 0
    told = {type(r): r for r in await read(topics.DISPATCH_TARGETS, Request)}
    assert told[Target].export_w == 50_000.0
    assert told[Limit].import_limit_w == 80_000.0
    assert told[Withdraw].withdraws == told[Target].request_id
    assert len(vtn.reports) == 1
    assert "Traceback" not in log.read_text()
