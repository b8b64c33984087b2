"""Publishes each process's counters and gauges to topic ``health``, once a second."""

import asyncio
import math
import os
import socket
from collections import Counter
from collections.abc import Callable

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from schemas.health import Health
from vpp_streams import clock
from vpp_streams.kafka import topics
from vpp_streams.kafka.outlet import Outlet
from vpp_streams.settings import Settings

log = structlog.get_logger()


class HealthReporter:
    """Counters and gauges of this process, and the loop that publishes them."""

    def __init__(self, role: str) -> None:
        self.role = role
        self.process_id = f"{role}-{socket.gethostname()}-{os.getpid()}"
        self.counters: Counter[str] = Counter()
        self.gauges: dict[str, Callable[[], float]] = {}
        """Functions that give a gauge's value, by its name; called at each report."""
        self.started_at_ms = clock.now_ms()

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
                await outlet.send(topics.HEALTH, self.report())
            except KafkaError as error:
                log.warning("health: a report was not sent", error=str(error))
            await asyncio.sleep(1.0)
