"""The status port of a process, over real sockets."""

import asyncio
import json
import socket
import threading
from collections.abc import AsyncIterator
from http.client import HTTPConnection
from pathlib import Path

import pytest
import pytest_asyncio
from prometheus_client.parser import text_string_to_metric_families

from tests.support.waiting import PATIENCE_S
from vpp_streams.errors import InputError
from vpp_streams.process import status_server
from vpp_streams.process.health import HealthReporter
from vpp_streams.process.status_server import MOST_REQUESTS, serving_status
from vpp_streams.settings import Settings


def answer(port: int, path: str) -> tuple[int, str]:
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    connection.request("GET", path)
    response = connection.getresponse()
    return response.status, response.read().decode()


async def get(port: int, path: str) -> tuple[int, str]:
    return await asyncio.to_thread(answer, port, path)


@pytest.fixture
def health() -> HealthReporter:
    return HealthReporter("fleet")


@pytest_asyncio.fixture
async def port(health: HealthReporter) -> AsyncIterator[int]:
    with serving_status(Settings(status_port=0), health) as port:
        assert port is not None
        yield port


async def test_live_and_ready(port: int, health: HealthReporter) -> None:
    read = health.probes.need("the registry")
    assert (await get(port, "/livez"))[0] == 200, "a process that starts is live"
    status, body = await get(port, "/readyz")
    assert status == 503
    assert json.loads(body)["waits_for"] == ["the registry"]
    read()
    health.probes.seat = "warm"
    status, body = await get(port, "/readyz")
    assert (status, json.loads(body)["seat"]) == (200, "warm")
    health.probes.stalls["readers"] = lambda: "nothing was applied for 60 s"
    status, body = await get(port, "/livez")
    assert (status, json.loads(body)["faults"]) == (503, ["nothing was applied for 60 s"])


async def test_metrics_are_what_prometheus_reads(port: int, health: HealthReporter) -> None:
    health.counters["readings"] = 12
    status, body = await get(port, "/metrics")
    found = {s.name: s.value for f in text_string_to_metric_families(body) for s in f.samples}
    assert status == 200
    assert found["vpp_fleet_readings_total"] == 12
    assert found["vpp_live"] == 1
    assert found["process_resident_memory_bytes"] > 0


async def test_a_loop_that_is_stuck_is_not_live_and_its_metrics_say_so(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status_server, "LOOP_S", 0.05)
    found: list[tuple[int, str]] = []
    asked = threading.Thread(
        target=lambda: found.extend(answer(port, p) for p in ("/livez", "/readyz", "/metrics"))
    )
    asked.start()
    asked.join(30)  # and the event loop is held up by it, which is the point
    live, ready, metrics = found
    assert (live[0], ready[0], metrics[0]) == (503, 503, 200)
    assert "the event loop did not answer" in live[1]
    assert 'vpp_live{role="fleet"} 0.0' in metrics[1]


async def test_clients_that_send_nothing_take_no_thread_from_others_for_long(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status_server._Handler, "timeout", 0.2)  # noqa: SLF001  # its own patience
    silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(MOST_REQUESTS + 4)]
    try:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                try:
                    if (await get(port, "/livez"))[0] == 200:
                        break
                except OSError:  # closed, as there is no room for it yet
                    continue
    finally:
        for client in silent:
            client.close()


async def test_a_gauge_that_raises_is_said(port: int, health: HealthReporter) -> None:
    health.gauges["devices"] = lambda: 1 / 0
    status, body = await get(port, "/metrics")
    assert (status, "ZeroDivisionError" in body) == (500, True)
    assert (await get(port, "/livez"))[0] == 200, "the next request is answered"


async def test_another_path_names_those_there_are(port: int) -> None:
    status, body = await get(port, "/health")
    assert status == 404
    assert "/livez" in body


async def test_a_port_that_is_taken_is_one_line(health: HealthReporter, port: int) -> None:
    with (
        pytest.raises(InputError, match=f"port {port} .*VPP_STATUS_PORT") as error,
        serving_status(Settings(status_port=port), health),
    ):
        pass
    assert "\n" not in str(error.value)


async def test_without_a_port_nothing_is_served(health: HealthReporter, tmp_path: Path) -> None:
    before = threading.active_count()
    with serving_status(Settings(), health) as port:
        assert port is None
        assert threading.active_count() == before
