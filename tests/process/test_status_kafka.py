"""The status port of a worker, from its start until it is given work."""

from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.kafka_world import plain_http, until, workers
from vpp_streams.process.ports import free_port
from vpp_streams.settings import Settings

pytestmark = pytest.mark.kafka


async def test_a_worker_is_ready_once_it_holds_its_partitions(
    topics_ready: Settings, tmp_path: Path
) -> None:
    port = free_port()
    with workers(topics_ready, tmp_path) as start:
        worker = start("region", VPP_STATUS_PORT=str(port))
        async with plain_http(f"http://127.0.0.1:{port}") as http:

            async def ready() -> bool:
                assert worker.process.poll() is None, worker.why()
                try:
                    return (await http.get("/readyz")).is_success
                except httpx.TransportError:
                    return False

            await until(ready, "the worker is ready")
            assert (await http.get("/livez")).json() == {"live": True, "faults": []}
            found: dict[tuple[str, str | None], float] = {}

            async def knows_its_lag() -> bool:
                found.update(samples((await http.get("/metrics")).text))
                return ("vpp_consumer_lag_records", "dispatch.targets") in found

            await until(knows_its_lag, "how far behind it is in what it follows")
        worker.stop()
    assert found["vpp_consumer_lag_records", "dispatch.targets"] == 0
    assert found["vpp_partitions_owned", None] == 1
    assert found["vpp_recovery_seconds", None] > 0
    assert found["vpp_ready", None] == 1


def samples(text: str) -> dict[tuple[str, str | None], float]:
    """Values by name and topic; of several partitions, any."""
    return {
        (sample.name, sample.labels.get("topic")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
