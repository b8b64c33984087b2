"""The process ``vpp incidents run``: measures once a second, publishes incidents, notifies people.

Its state is its own topic: after a restart it reads the topic to the end first, and so continues
the incidents that are open and sends no notification again.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import structlog
from aiokafka.errors import KafkaError

from schemas.dispatch import DispatchEvent, DispatchStatus
from schemas.health import Health
from schemas.incidents import SEVERITIES, Incident, IncidentRecord, Notification
from schemas.market import Delivery, DeliveryRecord, MarketTopicRecord, Refusal
from schemas.rejected import RejectedRecord
from schemas.windows import RegionLive
from vpp_streams import clock
from vpp_streams.domain.incidents.channels import Channel
from vpp_streams.domain.incidents.known import KnownIncidents
from vpp_streams.domain.incidents.regions import RegionsSeen
from vpp_streams.domain.incidents.system import SPAN_MS, SystemSeen
from vpp_streams.domain.incidents.watch import Measurement, Watch
from vpp_streams.domain.moments import DAY_MS, HOUR_MS
from vpp_streams.domain.registry.registry import Registry
from vpp_streams.errors import BrokerError
from vpp_streams.incidents.notifier import Deliver, Notifier, deliver_by_apprise
from vpp_streams.incidents.rule_file import RuleFile, read_rules
from vpp_streams.kafka import topics
from vpp_streams.kafka.admin import ensure_topics
from vpp_streams.kafka.clients import KafkaClients
from vpp_streams.kafka.decode import Read
from vpp_streams.kafka.follower import Feed, Follower, assets_into
from vpp_streams.kafka.outlet import Outlet
from vpp_streams.process.background import run_until_stopped
from vpp_streams.process.connection import connected_role
from vpp_streams.process.duty import Begin, Duty, at_once
from vpp_streams.process.health import Figure, HealthReporter
from vpp_streams.settings import Settings

log = structlog.get_logger()

STEP_S = 1.0
RECENT_MS = 60_000
"""How far back live records are read at the start."""
KEPT_CLOSED_MS = DAY_MS
"""How long it is tried to notify people that an incident closed."""


class IncidentDesk:
    """Follows the system, and keeps its incidents."""

    def __init__(
        self,
        rules: RuleFile,
        follower: Follower,
        outlet: Outlet,
        *,
        deliver: Deliver,
        now_ms: Callable[[], int],
        health: HealthReporter,
        begin: Begin = at_once,
    ) -> None:
        self._counters = health.counters
        health.gauges["open"] = lambda: len(self.known.open())
        health.figures.append(self._open_by_severity)
        self._has_read = health.probes.need("what it watches")
        self._follower = follower
        self._outlet = outlet
        self._now_ms = now_ms
        self._begin = begin
        self._registry = Registry()
        self._regions = RegionsSeen()
        self._system = SystemSeen()
        self._watch = Watch(rules.rule)
        self._notifier = Notifier(rules.channel, self._publish, deliver)
        self.known = KnownIncidents()

    async def run(self) -> None:
        """Watch until cancelled. Raises `BrokerError` where Kafka takes nothing."""
        async with asyncio.TaskGroup() as group:
            # First: what is open already must not open again.
            await self._follower.follow_in(group, Feed(topics.INCIDENTS, self.on_own))
            await self._follower.follow_in(group, assets_into(self._registry))
            await self._follower.follow_in(group, *self.feeds(self._now_ms()))
            self._has_read()
            await self._stand_by()
            group.create_task(self._notify_for_ever())
            while True:
                await self.step(self._now_ms())
                await asyncio.sleep(STEP_S)

    def _open_by_severity(self) -> Iterator[Figure]:
        found = Counter(incident.severity for incident in self.known.open())
        for severity in SEVERITIES:
            yield "vpp_open_incidents", (severity,), found[severity]

    async def _stand_by(self) -> None:
        """Wait for the duty; what was seen is kept short meanwhile, as measuring does."""
        async with asyncio.TaskGroup() as group:
            beginning = group.create_task(self._begin())
            while not beginning.done():
                self.measured(self._now_ms())
                await asyncio.wait({beginning}, timeout=STEP_S)

    def feeds(self, now_ms: int) -> tuple[Feed[Any], ...]:
        """Everything that is measured, from a while before ``now_ms`` on."""
        recent_ms, hour_ms = now_ms - RECENT_MS, now_ms - HOUR_MS
        return (
            Feed(topics.REGION_LIVE, self._live, since_ms=recent_ms),
            Feed(topics.DISPATCH_EVENTS, self._dispatch_event, since_ms=recent_ms),
            Feed(topics.MARKET_AWARDS, self._award, since_ms=hour_ms),
            Feed(topics.MARKET_DELIVERIES, self._delivery, since_ms=hour_ms),
            Feed(topics.HEALTH, self._health, since_ms=recent_ms),
            Feed(topics.RECORDS_REJECTED, self._refused, since_ms=now_ms - SPAN_MS),
        )

    async def step(self, now_ms: int) -> None:
        """Measure once, and publish what changed."""
        for incident in self._watch.step(now_ms, self.measured(now_ms)):
            log.info(
                "incident closed" if incident.closed_at_ms else "incident",
                id=incident.incident_id,
                severity=incident.severity,
                evidence=incident.evidence,
            )
            self._counters["closed" if incident.closed_at_ms else "published"] += 1
            await self._publish(incident)
        self._counters["steps"] += 1

    def measured(self, now_ms: int) -> list[Measurement]:
        """Everything that rules can measure, now."""
        active = (site for site in self._registry.sites() if site.state == "active")
        self._regions.expect(frozenset(site.region for site in active), now_ms)
        return [*self._regions.measured(now_ms), *self._system.measured(now_ms)]

    async def _publish(self, record: Incident | Notification) -> None:
        self.known.apply(record)
        try:
            await self._outlet.write(topics.INCIDENTS, record)
        except KafkaError as error:
            raise BrokerError(f"Kafka did not take an incident ({error})") from None

    async def _notify_for_ever(self) -> None:
        while True:
            now_ms = self._now_ms()
            over = self.known.closed_since(now_ms - KEPT_CLOSED_MS)
            await self._notifier.notify(
                [*self.known.open(), *over], self.known.acknowledged, now_ms
            )
            await asyncio.sleep(STEP_S)

    def on_own(self, read: Read[IncidentRecord]) -> None:
        """Apply a record of topic ``incidents``: ours, or a person's acknowledgement."""
        record = read.record
        self.known.apply(record)
        match record:
            case Incident():
                self._watch.restore(record)
                if record.kind == "process_silent" and not record.closed_at_ms:
                    self._system.expect(record.subject, self._now_ms())
            case Notification():
                self._notifier.restore(record)
            case _:
                pass

    def _live(self, read: Read[RegionLive]) -> None:
        self._regions.live(read.record, self._received_ms(read))

    def _health(self, read: Read[Health]) -> None:
        self._system.health(read.record, self._received_ms(read))

    def _refused(self, read: Read[RejectedRecord]) -> None:
        self._system.record_refused(read.record.at_ms)

    def _dispatch_event(self, read: Read[DispatchEvent]) -> None:
        if isinstance(read.record, DispatchStatus):
            self._regions.status(read.record, self._received_ms(read))

    def _award(self, read: Read[MarketTopicRecord]) -> None:
        if isinstance(read.record, Refusal):
            self._regions.refusal(read.record)

    def _delivery(self, read: Read[DeliveryRecord]) -> None:
        if isinstance(read.record, Delivery):
            self._regions.delivery(read.record)

    def _received_ms(self, read: Read[Any]) -> int:
        """When a record was received: now, or when it was written if it waited in Kafka."""
        return min(self._now_ms(), read.written_at_ms)


async def run_incidents(settings: Settings) -> None:
    """Run the watch until the process receives a stop signal. Raises `VppError`."""
    rules = read_rules(settings.incidents)
    clients = KafkaClients(settings)
    await ensure_topics(clients)
    health = HealthReporter("incidents")
    async with connected_role(clients, health) as kafka:
        duty = Duty("incidents", clients, kafka.follower, health)

        async def deliver(channel: Channel, title: str, text: str) -> str | None:
            await duty.confirm()  # an instance that was paused notifies nobody a second time
            return await deliver_by_apprise(channel, title, text)

        desk = IncidentDesk(
            rules,
            kafka.follower,
            duty.outlet,
            deliver=deliver,
            now_ms=clock.now_ms,
            health=health,
            begin=duty.begin,
        )
        log.info("incidents: watching", rules=len(rules.rule), channels=len(rules.channel))
        await run_until_stopped(duty.run(), desk.run())
