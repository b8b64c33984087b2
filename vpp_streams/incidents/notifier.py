"""Sends what is due to channels, and records each attempt: an outcome is never silent."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable

import apprise
import structlog

from schemas.incidents import Incident, Notification
from vpp_streams.domain.incidents.channels import (
    Attempts,
    Channel,
    Key,
    State,
    due,
    is_last,
    message_of,
)

log = structlog.get_logger()

SEND_S = 20.0
"""A channel that takes longer has failed this time."""
MOST_AT_ONCE = 50
"""Most incidents in one message; the others follow in the next ones."""

Write = Callable[[Notification], Awaitable[None]]
"""Publishes the outcome of an attempt."""
Deliver = Callable[[Channel, str, str], Awaitable[str | None]]
"""Sends title and text to a channel; returns why that failed, or None."""


class Notifier:
    """What was sent to each channel, and what is to be sent."""

    def __init__(self, channels: tuple[Channel, ...], write: Write, deliver: Deliver) -> None:
        self._channels = channels
        self._write = write
        self._deliver = deliver
        self._tried: dict[Key, Attempts] = {}

    def restore(self, record: Notification) -> None:
        """Take up an attempt from the log."""
        self._tried[record.incident_id, record.channel, record.state] = Attempts(
            record.attempts,
            record.at_ms,
            settled=record.delivered or is_last(record.attempts),
            delivered=record.delivered,
        )

    def forget(self, incident_id: str) -> None:
        """Forget what was sent about an incident that is over for good."""
        self._tried = {key: done for key, done in self._tried.items() if key[0] != incident_id}

    async def notify(
        self, incidents: Iterable[Incident], acknowledged: frozenset[str], now_ms: int
    ) -> None:
        """Send what is due now, one message a channel; all channels at once."""
        incidents = list(incidents)
        await asyncio.gather(
            *[self._notify(channel, incidents, acknowledged, now_ms) for channel in self._channels]
        )

    async def _notify(
        self,
        channel: Channel,
        incidents: list[Incident],
        acknowledged: frozenset[str],
        now_ms: int,
    ) -> None:
        sent = due(channel, incidents, self._tried, acknowledged, now_ms)[:MOST_AT_ONCE]
        if not sent:
            return
        reason = await self._deliver(channel, *message_of(sent))
        for incident, state in sent:
            await self._settle(channel, incident, state, now_ms, reason)

    async def _settle(
        self, channel: Channel, incident: Incident, state: State, now_ms: int, reason: str | None
    ) -> None:
        before = self._tried.get((incident.incident_id, channel.id, state))
        record = Notification(
            incident_id=incident.incident_id,
            channel=channel.id,
            state=state,
            at_ms=now_ms,
            delivered=reason is None,
            attempts=(before.number if before else 0) + 1,
            reason=reason or "",
        )
        self.restore(record)
        if reason is not None:
            log.warning(
                "a notification was not delivered",
                channel=channel.id,
                incident=incident.incident_id,
                attempts=record.attempts,
                last=is_last(record.attempts),
                reason=reason,
            )
        await self._write(record)


async def deliver_by_apprise(channel: Channel, title: str, text: str) -> str | None:
    """Send by Apprise, which knows mail, webhooks and a hundred services.

    The reason of a failure names the channel only: its URL, and what Apprise logs, hold secrets.
    """
    service = apprise.Apprise()
    service.add(channel.url)
    try:
        async with asyncio.timeout(SEND_S):
            delivered = await service.async_notify(body=text, title=title)
    except TimeoutError:
        return f"channel {channel.id} did not answer within {SEND_S:.0f} s"
    except Exception as error:  # any plugin's, and none may end the watch
        return f"channel {channel.id} failed: {type(error).__name__}"
    return None if delivered else f"channel {channel.id} did not accept it"
