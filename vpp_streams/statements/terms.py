"""What statements say beside the ledger, read from Kafka where it answers: terms, and storms."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from schemas.grid import Alert
from schemas.programs import Program
from vpp_streams.domain.registry.registry import Registry
from vpp_streams.domain.settle.agreements import Agreements
from vpp_streams.errors import BrokerError, RefusedError
from vpp_streams.kafka import topics
from vpp_streams.kafka.clients import KafkaClients
from vpp_streams.kafka.ranges import records_since
from vpp_streams.settings import Settings
from vpp_streams.statements.storms import StormFacts

READ_S = 30.0


@dataclass(frozen=True, slots=True)
class Terms:
    """Terms that owners are paid by, and storms."""

    programs: list[Program] = field(default_factory=list)
    """Every version of every program."""
    agreements: Agreements = field(default_factory=Agreements)
    alerts: dict[str, Alert] = field(default_factory=dict)
    registry: Registry = field(default_factory=Registry)

    def storms_of(self, site_id: str) -> StormFacts | None:
        """What is known of storms and a site; None = the site is not known."""
        site = self.registry.site(site_id)
        if site is None:
            return None
        chosen = self.registry.preferences(site_id)
        return StormFacts(list(self.alerts.values()), site, chosen, self.agreements)

    def _program(self, program: Program) -> None:
        if self.agreements.apply(program) is None:
            self.programs.append(program)

    def _alert(self, alert: Alert) -> None:
        self.alerts[alert.alert_id] = alert

    def appliers(self) -> dict[Any, Callable[[Any], object]]:
        """The topics that it is made from, and what applies a record of each."""
        return {
            topics.PROGRAMS: self._program,
            topics.TARIFFS: self.agreements.apply,
            topics.ENROLMENTS: self.agreements.apply,
            topics.GRID_ALERTS: self._alert,
            topics.ASSETS: self.registry.apply,
            topics.PREFERENCES: lambda one: self.registry.prefer(one.site_id, one),
        }


async def terms_now(settings: Settings) -> Terms:
    """All that is known. Raises `BrokerError` where Kafka does not answer in time."""
    terms, clients = Terms(), KafkaClients(settings)
    try:
        async with asyncio.timeout(READ_S):
            for topic, apply in terms.appliers().items():
                async for read in records_since(clients, topic, 0):
                    with suppress(RefusedError):  # its own reader has made a dead letter of it
                        apply(read.record)
    except TimeoutError:
        raise BrokerError(f"Kafka did not answer within {READ_S:.0f} s") from None
    return terms
