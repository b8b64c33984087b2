"""Which fleet worker holds which partition, so that any of them can answer for every site."""

import asyncio
from typing import Any

import httpx
import structlog
from faust.web import Request

from agents.context import AgentContext
from schemas.holders import Holder
from vpp_streams.kafka import topics
from vpp_streams.kafka.decode import Read
from vpp_streams.kafka.follower import Feed

log = structlog.get_logger()

PASSED_ON = "x-vpp-passed-on"
"""Header of a request that one worker passed to another: it is not passed on again."""
PATIENCE_S = 2.0


class Holders:
    """The newest message of every worker about the partitions that it holds."""

    def __init__(self, context: AgentContext) -> None:
        self._context = context
        settings = context.settings
        self._url = f"http://{settings.pages_host}:{settings.worker_port}"
        token = settings.service_token
        self._headers = {PASSED_ON: self._url} | (
            {"Authorization": f"Bearer {token.get_secret_value()}"} if token else {}
        )
        self._held: frozenset[int] = frozenset()
        self._changed = asyncio.Event()
        self._urls: dict[int, str] = {}
        self._http: httpx.AsyncClient | None = None

    def hold(self, partitions: frozenset[int]) -> None:
        """Hold these partitions from now on, and publish that to the other workers."""
        if partitions != self._held:
            self._held = partitions
            self._changed.set()

    async def run(self) -> None:
        """Publish our partitions and follow those of other workers, for ever."""
        feed = Feed(topics.FLEET_HOLDERS, self._on_holder)
        try:
            async with (
                httpx.AsyncClient(timeout=PATIENCE_S) as self._http,
                asyncio.TaskGroup() as group,
            ):
                group.create_task(self._context.follower.follow(feed))
                group.create_task(self._publish_for_ever())
        finally:
            self._http = None  # pages are requested until the worker has ended

    def _on_holder(self, read: Read[Holder]) -> None:
        self._urls[read.record.partition] = read.record.url

    async def _publish_for_ever(self) -> None:
        published: frozenset[int] = frozenset()
        while True:
            await self._changed.wait()
            self._changed.clear()
            held = self._held
            for partition in sorted(held - published):
                holder = Holder(partition, self._url, self._context.health.process_id)
                await self._context.outlet.send(topics.FLEET_HOLDERS, holder)
            published = held

    async def ask(self, partition: int, request: Request) -> tuple[int, Any] | None:
        """Another worker's answer, with its status; None where no other is known to hold it."""
        url = self._urls.get(partition)
        if self._http is None or url in (None, self._url) or PASSED_ON in request.headers:
            return None
        try:
            answer = await self._http.get(
                f"{url}{request.path}", params=request.query, headers=self._headers
            )
            return answer.status_code, answer.json()
        except (httpx.HTTPError, ValueError) as error:
            log.info("the holder of a partition does not answer", url=url, error=repr(error))
            return None
