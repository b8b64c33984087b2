"""Site windows to Kafka: in batches, and at a pace that leaves the loop to the readings.

When a minute ends, every site of a partition has a window to publish, tens of thousands at once.
Sent one by one at full speed, they would hold up the live readings for seconds.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator

from aiokafka.producer.message_accumulator import BatchBuilder

from agents.context import AgentContext
from agents.pace import Pace
from schemas.encoding import encode_json
from vpp_streams.domain.fleet.site_windows import SiteSums
from vpp_streams.kafka import topics

SHARE = 0.3
"""Most of the loop's time that windows may take, as a share."""
LONGEST_REST_S = 1.0
"""Longest rest between batches."""
BATCH_BYTES = 128 * 1024
"""Size of a batch, which is made without letting other tasks run."""


class _Job:
    """The windows of one partition that were closed or corrected together."""

    def __init__(self, sums: SiteSums, ours: Callable[[], bool]) -> None:
        self._records = ((w.site_id.encode(), encode_json(w)) for w in sums.records())
        self.ours = ours
        self.next = next(self._records, None)
        self.sent: list[Awaitable[object]] = []
        """Batches that contain records of this job."""
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def records(self) -> Iterator[tuple[bytes, bytes]]:
        """The remaining records; one that was not taken is returned again."""
        while self.next is not None and self.ours():
            yield self.next
            self.next = next(self._records, None)

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
        self._topic = context.clients.full(topics.SITE_WINDOWS)
        self._jobs: dict[int, deque[_Job]] = {}
        self._some = asyncio.Event()
        self._pace = Pace(SHARE, LONGEST_REST_S)
        context.health.gauges["windows_waiting"] = lambda: sum(map(len, self._jobs.values()))

    def publish(self, sums: SiteSums, partition: int, ours: Callable[[], bool]) -> Awaitable[None]:
        """Publish a window of many sites; done when Kafka has it or the partition is not ours.

        The partition's next owner publishes what was not committed; a late record of ours could
        otherwise end up as the newest.
        """
        job = _Job(sums, ours)
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
                    await self._send_batch(partition, self._jobs[partition])
                    await asyncio.sleep(self._pace.rest_s())

    async def _send_batch(self, partition: int, jobs: deque[_Job]) -> None:
        producer = self._context.producer
        assert producer is not None, "the worker runs"
        batch = producer.create_batch()
        with self._pace.work():
            inside, finished = _fill(batch, jobs)
        if batch.record_count():
            sent = await producer.send_batch(batch, self._topic, partition=partition)
            for job in inside:
                job.sent.append(sent)
        for job in finished:
            job.finish()


def _fill(batch: BatchBuilder, jobs: deque[_Job]) -> tuple[list[_Job], list[_Job]]:
    """Put as many records of the jobs into a batch as fit.

    Returns the jobs with records in it, and those that are complete, which leave ``jobs``.
    """
    size = 0
    inside, finished = [], []
    while jobs and size < BATCH_BYTES:
        job = jobs[0]
        inside.append(job)
        for key, value in job.records():
            if size >= BATCH_BYTES or batch.append(key=key, value=value, timestamp=None) is None:
                size = BATCH_BYTES
                break
            size += len(value)
        else:
            finished.append(jobs.popleft())
    return inside, finished
