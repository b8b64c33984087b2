"""Publishes each process's counters and gauges to topic ``health``, once a second.

The same figures, and some by label, are served as metrics (`vpp_streams.process.status_server`).
"""

import asyncio
import math
import os
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from schemas.health import Health
from vpp_streams import clock
from vpp_streams.kafka import topics
from vpp_streams.kafka.outlet import Outlet, Sent
from vpp_streams.process.probes import Probes
from vpp_streams.process.weighted_histogram import WeightedHistogram
from vpp_streams.settings import Settings

log = structlog.get_logger()

Figure = tuple[str, tuple[str, ...], float | None]
"""A metric's name in `metric_table`, the values of its labels except ``role``, and its value; None
and NaN = not known."""


class HealthReporter:
    """Counters and gauges of this process, and the loop that publishes them."""

    def __init__(self, role: str) -> None:
        self.role = role
        self.process_id = f"{role}-{socket.gethostname()}-{os.getpid()}"
        self.counters: Counter[str] = Counter()
        self.gauges: dict[str, Callable[[], float]] = {}
        """Functions that give a gauge's value, by its name; called at each report."""
        self.figures: list[Callable[[], Iterable[Figure]]] = []
        """Functions that give the figures which only the metrics have, for they have labels."""
        self.histograms: dict[str, Mapping[str, WeightedHistogram]] = {}
        """Histograms by their one label, by their name in `metric_table`."""
        self.probes = Probes()
        self.started_at_ms = clock.now_ms()
        self._answered_s: float | None = None
        """When Kafka last confirmed a report, by the monotonic clock."""

    def kafka_answer_age_s(self) -> float:
        """Seconds since Kafka last confirmed a report of this process; NaN = never."""
        return math.nan if self._answered_s is None else time.monotonic() - self._answered_s

    def report(self) -> Health:
        """What this process would publish now; a gauge that has no value is left out."""
        gauges = {name: float(read()) for name, read in self.gauges.items()}
        return Health(
            process_id=self.process_id,
            role=self.role,
            at_ms=clock.now_ms(),
            started_at_ms=self.started_at_ms,
            counters=dict(self.counters),
            gauges={name: value for name, value in gauges.items() if math.isfinite(value)},
        )

    async def publish_for_ever(self, settings: Settings, producer: AIOKafkaProducer) -> None:
        """Publish once a second until cancelled."""
        outlet = Outlet(producer, settings.namespace)
        while True:
            try:
                sent = await outlet.send(topics.HEALTH, self.report())
                sent.add_done_callback(self._on_sent)
            except KafkaError as error:
                log.warning("health: a report was not sent", error=str(error))
            await asyncio.sleep(1.0)

    def _on_sent(self, sent: Sent) -> None:
        if not sent.cancelled() and sent.exception() is None:
            self._answered_s = time.monotonic()
