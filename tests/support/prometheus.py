"""A real Prometheus, and processes for it to scrape that have something of every metric."""

import asyncio
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from agents.region_figures import RegionFigures
from tests.support.paths import ROOT
from tests.support.waiting import PATIENCE_S, wait_until
from tests.support.web_records import NOW_MS, commandable, dispatch_status, region_live
from vpp_streams.process.health import Figure, HealthReporter
from vpp_streams.process.metric_table import ROWS
from vpp_streams.process.ports import free_port
from vpp_streams.process.status_server import serving_status
from vpp_streams.settings import Settings

PROMETHEUS = ROOT / "deploy" / "prometheus"
DASHBOARDS = sorted((ROOT / "deploy" / "grafana").glob("*.json"))
WAY_OUT = "no Prometheus: install it (Debian: apt-get install prometheus)"


def tool(name: str) -> str:
    """The path of ``prometheus`` or ``promtool``.

    A test that needs it is skipped where it is not installed, and fails in CI.
    """
    found = shutil.which(name)
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail(WAY_OUT)
        pytest.skip(WAY_OUT)
    return found


def rules_of(file: str) -> list[dict[str, str]]:
    """The rules of a file of alerts or recordings."""
    groups = yaml.safe_load((PROMETHEUS / file).read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def expressions_of(dashboard: Path) -> dict[str, str]:
    """The expressions of a dashboard by panel and letter, for every region."""
    panels = json.loads(dashboard.read_text())["panels"]
    return {
        f"{panel['title']} {target['refId']}": target["expr"].replace("$region", ".+")
        for panel in panels
        for target in panel["targets"]
    }


class Roles:
    """Processes of every role in this one, each with a status port and counts that go on."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.ports: dict[str, int] = {}
        self._running = ExitStack()

    def __enter__(self) -> "Roles":
        named = {source.role for row in ROWS.values() for source in row.sources} - {"*"}
        for role in sorted(named | {"incidents", "web"}):
            settings = Settings(status_port=0, namespace="demo")
            port = self._running.enter_context(serving_status(settings, busy(role), self._loop))
            assert port is not None
            self.ports[role] = port
        return self

    def __exit__(self, *_error: object) -> None:
        self._running.close()


def busy(role: str) -> HealthReporter:
    """A process of a role that has something of each of its metrics, more at each scrape."""
    health = HealthReporter(role)
    sources = [(row, s) for row in ROWS.values() for s in row.sources if s.role in (role, "*")]
    for row, source in sources:
        if row.kind == "gauge":
            health.gauges[source.key] = lambda: 5.0
    if role == "region":
        figures = RegionFigures()
        figures.report_to(health, lambda: NOW_MS)
        told: dict[str, Any] = {
            "asked_w": 9000.0,
            "allocated_w": 9000.0,
            "missing_w": 100.0,
            "mode": "target",
        }
        figures.status(dispatch_status("north", commandable=commandable(90, silent=10), **told))

    def goes_on() -> Iterator[Figure]:
        for row, source in sources:
            if row.kind == "counter":
                health.counters[source.key.replace("*", "one:two")] += 1
        health.counters["something_else"] += 1
        if role == "region":
            figures.live(region_live("north", fresh_ages_ms=((400, 90), (2_000, 10))))
        yield "vpp_partitions_owned", (), 8
        yield "vpp_recovery_seconds", (), 1.5
        yield "vpp_consumer_lag_records", ("telemetry", "0"), 3
        if role == "incidents":
            yield "vpp_open_incidents", ("critical",), 0

    health.figures.append(goes_on)
    health.kafka_answer_age_s = lambda: 0.1  # type: ignore[method-assign]  # there is no Kafka here
    return health


class Prometheus:
    """A running server."""

    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=url, timeout=PATIENCE_S)

    def query(self, expression: str) -> list[dict[str, object]]:
        """The result of an instant query. Fails where the expression cannot be evaluated."""
        answer = self._http.get("/api/v1/query", params={"query": expression}).json()
        assert answer["status"] == "success", f"{expression}: {answer.get('error')}"
        found: list[dict[str, object]] = answer["data"]["result"]
        return found

    def series(self) -> list[dict[str, str]]:
        """Labels of every series of ours, also of those that have ended."""
        answer = self._http.get("/api/v1/series", params={"match[]": '{__name__=~"vpp_.+"}'}).json()
        found: list[dict[str, str]] = answer["data"]
        return found

    def is_up(self) -> bool:
        """Whether it answers."""
        try:
            return self._http.get("/-/ready").status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    def close(self) -> None:
        """Close the connection to it."""
        self._http.close()


@contextmanager
def running_prometheus(directory: Path, ports: list[int]) -> Iterator[Prometheus]:
    """A server with our rules that scrapes these ports each second."""
    program, port = tool("prometheus"), free_port()
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(PROMETHEUS / name) for name in ("recording.yml", "alerts.yml")],
        "scrape_configs": [
            {
                "job_name": "vpp",
                "static_configs": [{"targets": [f"127.0.0.1:{one}" for one in ports]}],
            }
        ],
    }
    (directory / "prometheus.yml").write_text(yaml.safe_dump(config))
    with (directory / "log").open("w") as log:
        process = subprocess.Popen(
            [
                program,
                f"--config.file={directory / 'prometheus.yml'}",
                f"--storage.tsdb.path={directory / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    prometheus = Prometheus(f"http://127.0.0.1:{port}")
    try:
        wait_until(prometheus.is_up)
        yield prometheus
    finally:
        prometheus.close()
        process.terminate()
        process.wait(30)
