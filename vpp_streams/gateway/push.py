"""What the gateway sends to devices of its own accord: commands of its slot, and prices."""

import asyncio
from collections.abc import Mapping

from schemas.commands import CommandEvent, CommandFrame, CommandRow, CommandState, command_id
from schemas.grid import PriceSeries
from schemas.protocol import Prices, Setpoint
from vpp_streams.clock import now
from vpp_streams.domain.moments import Now
from vpp_streams.gateway.link import Link
from vpp_streams.gateway.outbox import EventOutbox
from vpp_streams.kafka import topics, tracing
from vpp_streams.kafka.decode import Read
from vpp_streams.kafka.follower import Feed
from vpp_streams.process.health import HealthReporter

SLICE = 100
"""Devices that are sent to before others get their turn."""


class Pusher:
    """Delivers commands to the connections of this process, and prices to those of a region."""

    def __init__(
        self,
        links: Mapping[str, Link],
        outbox: EventOutbox,
        health: HealthReporter,
    ) -> None:
        self._links = links
        self._outbox = outbox
        self._counters = health.counters
        self._prices: dict[str, PriceSeries] = {}

    def commands(self, slot: int) -> Feed[CommandFrame]:
        """Start at the slot's end: older commands belonged to other connections."""

        async def apply(read: Read[CommandFrame]) -> None:
            with tracing.handling("gateway: send setpoints", read.headers):
                await self.deliver(read.record)

        return Feed(topics.GATEWAY_OUT, apply, since_ms=None, partitions=(slot,))

    async def deliver(self, frame: CommandFrame) -> None:
        """Send a frame's commands; publish why some could not be sent."""
        self._counters["commands_in"] += len(frame.rows)
        id_ = command_id(frame.partition, frame.rank)
        for start in range(0, len(frame.rows), SLICE):
            moment = now()
            for row in frame.rows[start : start + SLICE]:
                self._deliver_row(frame, id_, row, moment)
            await asyncio.sleep(0)

    def _deliver_row(self, frame: CommandFrame, id_: str, row: CommandRow, moment: Now) -> None:
        link = self._links.get(row.device_id)
        if frame.valid_until_ms <= moment.utc_ms:
            self._publish_outcome(frame, row, "expired", "it arrived too late")
        elif link is None or not link.live:
            self._publish_outcome(frame, row, "failed", "not connected")
        elif link.epoch != row.epoch:
            self._publish_outcome(frame, row, "failed", "stale epoch")
        else:
            setpoint = Setpoint(
                epoch=row.epoch,
                rank=frame.rank,
                p=row.setpoint_w,
                not_before=frame.not_before_ms,
                valid_until=frame.valid_until_ms,
                ramp_w_s=row.ramp_w_s,
                fallback=frame.fallback,
                soc_min=row.soc_min,
                droop=frame.droop,
            )
            link.perform(link.session.command(id_, setpoint, moment))

    def _publish_outcome(
        self, frame: CommandFrame, row: CommandRow, state: CommandState, reason: str
    ) -> None:
        self._counters["commands_not_delivered"] += 1
        self._outbox.add(
            frame.partition,
            CommandEvent(
                device_id=row.device_id,
                command_id=command_id(frame.partition, frame.rank),
                state=state,
                at_ms=now().utc_ms,
                epoch=row.epoch,
                reason=reason,
            ),
        )

    def on_prices(self, read: Read[PriceSeries]) -> None:
        """A record of ``market.prices``: the region's devices get it."""
        series = read.record
        self._prices[series.region] = series
        for link in self._links.values():
            if link.live and link.session.site.region == series.region:
                self.send_prices(link)

    def send_prices(self, link: Link) -> None:
        """Send a device the newest prices of its region."""
        series = self._prices.get(link.session.site.region)
        if series is not None:
            prices = Prices(
                from_=series.from_ms, interval_ms=series.interval_ms, per_mwh=series.per_mwh
            )
            link.perform(link.session.prices(prices))
