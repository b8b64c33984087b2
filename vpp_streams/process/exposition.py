"""A process's counters, gauges and series as Prometheus metrics, by `metric_table`.

The same counters and gauges go to topic ``health``: nothing is measured twice.
"""

import math
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import version

from prometheus_client import GCCollector, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector, CollectorRegistry

from schemas.health import DOES_ALSO
from vpp_streams.process.health import HealthReporter
from vpp_streams.process.metric_table import LAG_BUCKETS_S, ROWS
from vpp_streams.process.weighted_histogram import WeightedHistogram

MOST_VALUES = 200
"""Series of a counter whose labels come from its name; further ones are added up as ``other``."""

_BY_PARTITION = frozenset({"lag"})
"""Gauges that are sums of what is a metric by partition."""

Values = dict[tuple[str, ...], float]
"""Values by the values of the labels."""


class Gathered(Collector):
    """Metrics that were read at one moment."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = list(families)

    def collect(self) -> list[Metric]:
        """Those metrics."""
        return self._families


class Exposition:
    """What ``/metrics`` serves of one process."""

    def __init__(self, health: HealthReporter, namespace: str) -> None:
        self._health = health
        self._namespace = namespace
        self._own = CollectorRegistry()
        ProcessCollector(registry=self._own)
        GCCollector(registry=self._own)
        self._loop_lag = WeightedHistogram(LAG_BUCKETS_S)

    def loop_took(self, seconds: float) -> None:
        """Count one measurement of the event loop."""
        self._loop_lag.add(seconds, 1)

    def gathered(self, families: Iterable[Metric]) -> Gathered:
        """These metrics, and those that need no event loop."""
        loop_lag = _histogram("vpp_event_loop_lag_seconds", {self._health.role: self._loop_lag})
        return Gathered([*families, loop_lag, *self._own.collect()])

    def read(self) -> list[Metric]:
        """What the process says of itself, now. To be called on its event loop."""
        health, probes = self._health, self._health.probes
        values = _from_sources(health)
        values["vpp_build_info"] = self._build()
        values["vpp_live"] = {(health.role,): float(not probes.faults())}
        values["vpp_ready"] = {(health.role,): float(not probes.waits_for())}
        values["vpp_warm"] = {(health.role,): float(probes.seat == "warm")}
        values["vpp_kafka_answer_age_seconds"] = {(health.role,): health.kafka_answer_age_s()}
        for figures in health.figures:
            for name, labels, value in figures():
                if value is not None:
                    _add(values, name, _with_role(name, health.role, labels), value)
        return [_family(name, found) for name, found in values.items()] + [
            _histogram(name, found) for name, found in health.histograms.items()
        ]

    def silent(self) -> list[Metric]:
        """What is known of a process whose event loop does not answer."""
        no: Values = {(self._health.role,): 0.0}
        values = {"vpp_build_info": self._build(), "vpp_live": no, "vpp_ready": no}
        return [_family(name, found) for name, found in values.items()]

    def _build(self) -> Values:
        return {(self._health.role, _version(), self._namespace): 1.0}


@cache
def _version() -> str:
    return version("vpp-streams")


def _from_sources(health: HealthReporter) -> dict[str, Values]:
    """The counters and gauges of topic ``health``, each under its own name or a general one."""
    report = health.report()
    values = _zeros(health.role)
    for key, value in (*report.counters.items(), *report.gauges.items()):
        if (found := _metric_of(health.role, key)) is not None:
            _add(values, *found, value)
        elif key in report.counters:
            _add(values, "vpp_events_total", (health.role, key), value)
        elif key not in _BY_PARTITION:
            _add(values, f"vpp_{health.role}_{key}", (), value)
    return values


def _zeros(role: str) -> dict[str, Values]:
    """What a role counts and has not counted yet: its first increase must be seen as one."""
    exact, _ = _sources_of(role)
    values: dict[str, Values] = {}
    for name, labels in exact.values():
        if ROWS[name].kind == "counter":
            _add(values, name, labels, 0.0)
    return values


def _metric_of(role: str, key: str) -> tuple[str, tuple[str, ...]] | None:
    """The metric that a role's counter or gauge is, with its labels; None = none of its own."""
    exact, prefixes = _sources_of(role)
    if key in exact:
        return exact[key]
    for prefix, (name, first) in prefixes.items():
        if key.startswith(prefix):
            left = len(ROWS[name].labels) - len(first)
            rest = key.removeprefix(prefix).split(":", left - 1)
            return name, (*first, *rest, *[""] * (left - len(rest)))
    return None


def _add(values: dict[str, Values], name: str, labels: tuple[str, ...], value: float) -> None:
    found = values.setdefault(name, {})
    if labels not in found and len(found) >= MOST_VALUES:
        labels = (*labels[:-1], "other")
    found[labels] = found.get(labels, 0.0) + value


_Named = dict[str, tuple[str, tuple[str, ...]]]
"""Metric and first labels, by key."""


@cache
def _sources_of(role: str) -> tuple[_Named, _Named]:
    """The metrics of a role's complete keys, and of the beginnings of keys."""
    exact: _Named = {}
    prefixes: _Named = {}
    for row in ROWS.values():
        for source in row.sources:
            if source.role in (role, "*", *DOES_ALSO.get(role, ())):
                into = prefixes if source.key.endswith("*") else exact
                labels = _with_role(row.name, role, source.labels)
                into[source.key.removesuffix("*")] = row.name, labels
    return exact, prefixes


def _with_role(name: str, role: str, labels: tuple[str, ...]) -> tuple[str, ...]:
    """The labels of a metric of a role: its role first, where the metric has one."""
    return (role, *labels) if ROWS[name].labels[:1] == ("role",) else labels


def _family(name: str, found: Values) -> Metric:
    """A counter or a gauge with its values; values that are not known have no series."""
    row = ROWS.get(name)
    meaning = row.meaning if row else "A gauge of topic health."
    labels = row.labels if row else ()
    family: Metric
    if row is not None and row.kind == "counter":
        family = CounterMetricFamily(name, meaning, labels=labels)
    else:
        family = GaugeMetricFamily(name, meaning, labels=labels)
    for values, value in found.items():
        if math.isfinite(value):
            family.add_metric(values, value)
    return family


def _histogram(name: str, found: Mapping[str, WeightedHistogram]) -> Metric:
    """A histogram with one label."""
    row = ROWS[name]
    family = HistogramMetricFamily(name, row.meaning, labels=row.labels)
    for label, histogram in found.items():
        family.add_metric([label], list(histogram.cumulative()), histogram.sum)
    return family
