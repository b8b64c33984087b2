"""Alerts, recorded figures and dashboards: sound, of metrics that exist, and run for real."""

import asyncio
import re
import subprocess
import threading
from collections.abc import Iterator

import pytest
import yaml

from tests.support.paths import DOCS
from tests.support.prometheus import (
    DASHBOARDS,
    PROMETHEUS,
    Prometheus,
    Roles,
    expressions_of,
    rules_of,
    running_prometheus,
    tool,
)
from tests.support.waiting import wait_until
from vpp_streams.cli.contracts import metrics_page
from vpp_streams.process.metric_table import ROWS

ALERTS = rules_of("alerts.yml")
RECORDED = {rule["record"] for rule in rules_of("recording.yml")}
EXPRESSIONS = {
    **{rule["alert"]: rule["expr"] for rule in ALERTS},
    **{rule["record"]: rule["expr"] for rule in rules_of("recording.yml")},
    **{
        f"{dashboard.stem}: {name}": expression
        for dashboard in DASHBOARDS
        for name, expression in expressions_of(dashboard).items()
    },
}
MAY_BE_EMPTY = {"overview: Alerts A"}
"""Expressions of dashboards that give nothing where all is well."""


def promtool(*words: str) -> str:
    done = subprocess.run(
        [tool("promtool"), *words], capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_rules_are_sound() -> None:
    promtool("check", "config", str(PROMETHEUS / "prometheus.yml"))


def test_each_alert_fires_when_it_should() -> None:
    promtool("test", "rules", str(PROMETHEUS / "alerts_test.yml"))


def test_each_alert_has_a_case_in_which_it_fires_and_one_in_which_it_is_quiet() -> None:
    cases = [
        case
        for test in yaml.safe_load((PROMETHEUS / "alerts_test.yml").read_text())["tests"]
        for case in test["alert_rule_test"]
    ]
    names = {rule["alert"] for rule in ALERTS}
    assert {case["alertname"] for case in cases if case["exp_alerts"]} == names
    assert {case["alertname"] for case in cases if not case["exp_alerts"]} == names


def test_each_alert_has_a_runbook() -> None:
    sections = set(re.findall(r"^### (\w+)$", (DOCS / "metrics.md").read_text(), re.MULTILINE))
    assert sections == {rule["alert"] for rule in ALERTS}
    for rule in ALERTS:
        link = rule["annotations"]["runbook"]  # type: ignore[index]  # a mapping
        assert link == f"docs/metrics.md#{rule['alert'].lower()}"


def test_the_page_has_the_table_as_it_is() -> None:
    page = (DOCS / "metrics.md").read_text()
    assert metrics_page(page) == page, "run `vpp contracts`"


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_an_expression_names_metrics_that_exist(name: str) -> None:
    words = set(re.findall(r"[a-zA-Z_:][\w:]*", re.sub(r'"[^"]*"', "", EXPRESSIONS[name])))
    ours = {word for word in words if "vpp" in word}
    series = {f"{row.name}{end}" for row in ROWS.values() for end in endings(row.kind)}
    assert ours <= series | RECORDED, name


def endings(kind: str) -> tuple[str, ...]:
    return ("_bucket", "_count", "_sum") if kind == "histogram" else ("",)


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A real Prometheus that has scraped processes of every role, which run in another thread."""
    tool("prometheus")
    loop = asyncio.new_event_loop()
    running = threading.Thread(target=loop.run_forever)
    running.start()
    try:
        with (
            Roles(loop) as roles,
            running_prometheus(
                tmp_path_factory.mktemp("prometheus"), list(roles.ports.values())
            ) as server,
        ):
            # Two scrapes of each, and two evaluations of what is recorded.
            wait_until(lambda: len(server.query("vpp:gates_missed:ratio1h >= 0")) == 1)
            wait_until(lambda: len(server.query("sum_over_time(up[1h]) > 2")) == len(roles.ports))
            yield server
    finally:
        loop.call_soon_threadsafe(loop.stop)
        running.join(30)
        loop.close()


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_an_expression_runs_and_a_panel_shows_something(prometheus: Prometheus, name: str) -> None:
    prometheus.query(EXPRESSIONS[name])
    if ": " in name and name not in MAY_BE_EMPTY:
        # A scrape that takes too long on a busy machine ends its series until the next one.
        wait_until(lambda: prometheus.query(EXPRESSIONS[name]))


def test_every_metric_of_the_table_is_served(prometheus: Prometheus) -> None:
    served = {name["__name__"] for name in prometheus.series()}
    assert {f"{row.name}{endings(row.kind)[0]}" for row in ROWS.values()} <= served
