"""Site windows to Kafka: in frames of many sites, at a pace that leaves the loop to the readings.

When a minute ends, every site of a partition has a window to publish, tens of thousands at once.
Made and sent at full speed, they would hold up the live readings.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from agents.context import AgentContext
from agents.pace import Pace
from schemas.encoding import encode_json
from schemas.windows import SiteWindow
from vpp_streams.domain.fleet.site_sums import SiteSums
from vpp_streams.domain.fleet.window_batches import WindowBatch, batches_of
from vpp_streams.kafka import topics

SHARE = 0.3
"""Most of the loop's time that the making of frames may take, as a share."""
LONGEST_REST_S = 1.0
"""Longest rest between frames."""


class _Job:
    """The windows of one partition that were closed or corrected together."""

    def __init__(self, sums: SiteSums, partition: int, ours: Callable[[], bool]) -> None:
        self._batches = batches_of(sums, partition)
        self.ours = ours
        self.sent: list[Awaitable[object]] = []
        """Futures of the frames that were handed to the producer."""
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def next(self) -> WindowBatch | None:
        """The next batch to publish; None where there is none, or the partition is not ours."""
        return next(self._batches, None) if self.ours() else None

    def finish(self) -> None:
        """Everything was sent: the job is done when Kafka has it."""
        asyncio.gather(*self.sent).add_done_callback(self._settle)

    def _settle(self, sent: asyncio.Future[list[object]]) -> None:
        if sent.cancelled():
            self.done.cancel()
        elif error := sent.exception():
            self.done.set_exception(error)  # the snapshot that awaits it ends the worker
        else:
            self.done.set_result(None)


class WindowsPublisher:
    """Publishes each partition's windows in order of arrival."""

    def __init__(self, context: AgentContext) -> None:
        self._context = context
        self._jobs: dict[int, deque[_Job]] = {}
        self._some = asyncio.Event()
        self._pace = Pace(SHARE, LONGEST_REST_S)
        context.health.gauges["windows_waiting"] = lambda: sum(map(len, self._jobs.values()))

    def publish(self, sums: SiteSums, partition: int, ours: Callable[[], bool]) -> Awaitable[None]:
        """Publish a window of many sites; done when Kafka has it or the partition is not ours.

        The partition's next owner publishes what was not committed; a late record of ours could
        otherwise end up as the newest.
        """
        job = _Job(sums, partition, ours)
        self._jobs.setdefault(partition, deque()).append(job)
        self._some.set()
        return job.done

    async def run(self) -> None:
        """Publish for ever; cancel to stop."""
        while True:
            await self._some.wait()
            self._some.clear()
            while waiting := [partition for partition, jobs in self._jobs.items() if jobs]:
                for partition in waiting:
                    self._pace.begin()
                    await self._publish_next(partition, self._jobs[partition])
                    await asyncio.sleep(self._pace.rest_s())

    async def _publish_next(self, partition: int, jobs: deque[_Job]) -> None:
        """Publish one batch of a partition's oldest job, which leaves ``jobs`` at its end."""
        job = jobs[0]
        with self._pace.work():
            batch = job.next()
        if batch is None:
            jobs.popleft().finish()
            return
        if batch.frame.num_rows:
            outlet = self._context.outlet
            job.sent.append(
                await outlet.send(topics.SITE_WINDOWS, batch.frame, partition=partition)
            )
        for window in batch.refused:
            job.sent.append(await self._send_alone(window, partition))

    async def _send_alone(self, window: SiteWindow, partition: int) -> Awaitable[object]:
        """Send a window that readers refuse; not by the outlet, which would refuse it here."""
        producer = self._context.producer
        assert producer is not None, "the worker runs"
        name = self._context.clients.full(topics.SITE_WINDOWS)
        sent: Awaitable[object] = await producer.send(
            name, encode_json(window), partition=partition
        )
        return sent
