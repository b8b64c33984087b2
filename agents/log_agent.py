"""A Faust agent that applies what a log reader delivers."""

from collections.abc import Awaitable, Callable

import faust

from agents.faust_seam import LogChannel
from tables.log_reader import Deliver, Records


class LogAgent:
    """An agent of a role with state: an error in ``apply`` ends the worker.

    Half a record may be applied by then. The worker's successor starts from the last snapshot
    instead of going on with that.
    """

    def __init__(
        self, app: faust.App, name: str, apply: Callable[[Records], Awaitable[None]]
    ) -> None:
        self._app = app
        self._apply = apply
        self._channel = LogChannel(app)
        app.agent(self._channel, name=name)(self._take)

    @property
    def deliver(self) -> Deliver:
        """Hands records to the agent, for a log reader."""
        return self._channel.put

    async def _take(self, stream: faust.StreamT) -> None:
        async for records in stream:
            try:
                await self._apply(records)
            except Exception as error:
                await self._app.crash(error)
                raise
