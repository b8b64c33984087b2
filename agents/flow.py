"""Role ``flow``: both halves of the hot path in one worker, raw frames to twins and windows.

The partitions of raw and canonical topics are the same, so a worker that makes a partition's
canonical frames can also apply them. They are written to Kafka as ever; once Kafka has one, and
states its offset, it is applied without being fetched and decoded (`vpp_streams.kafka.echo`). The
log decides what is applied and in which order, as for the split roles: state, its offset and its
fence are those of the fleet role, so a takeover between the two layouts needs nothing.

A namespace runs either this role or ``ingest`` and ``fleet``: it takes the place of ``ingest`` in
that group, and has the fleet role's partitions by the same share.
"""

import asyncio

import faust

from agents.context import AgentContext
from agents.faust_seam import Membership, membership_of, run_beside_agents
from agents.fleet import FleetWorker, add_pages
from agents.ingest import IngestAgents, IngestWorker
from agents.stateful_role import StatefulAgent
from tables.echoes import Echoes
from tables.log_reader import Deliver
from vpp_streams.kafka import topics
from vpp_streams.kafka.echo import Echo


class FlowWorker:
    """The two halves of the partitions that this worker holds."""

    def __init__(self, context: AgentContext, membership: Membership) -> None:
        self._context = context
        self.ingest = IngestWorker(context, membership)
        self.fleet = FleetWorker(context, membership)
        echoes = Echoes()
        context.echo = Echo(topics.TELEMETRY, echoes.take)
        self.fleet.listen_to(echoes)
        self.ingest.room = echoes.room
        raw, canonical = self.ingest.lag, self.fleet.partitions.lag
        context.health.gauges["lag"] = lambda: raw() + canonical()

    async def run(self, live: Deliver, backfill: Deliver, canonical: Deliver) -> None:
        """Hold what the group assigns to this worker, for ever; the three receive the records.

        Raises what makes it impossible to go on.
        """
        async with self._context.sending(), asyncio.TaskGroup() as group:
            group.create_task(self.ingest.run(live, backfill))
            group.create_task(self.fleet.run(canonical))


def register(app: faust.App, context: AgentContext) -> None:
    """Add the agents of both halves, the work beside them and the fleet's pages to an app."""
    worker = FlowWorker(context, membership_of(app, topics.SEATS_INGEST, context))
    raw = IngestAgents(app, worker.ingest)
    canonical = StatefulAgent(app, "fleet", worker.fleet)

    async def run() -> None:
        await worker.run(raw.live.put, raw.backfill.put, canonical.channel.put)

    run_beside_agents(app, run)
    add_pages(app, context, worker.fleet)
