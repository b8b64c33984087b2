"""What was decided of each request, for the worker that takes over: id -> newest state.

A plain Faust table with set-semantics: the same decision written twice is the same decision.
"""

from collections.abc import Awaitable, Mapping

import faust


class Decisions:
    """The table; its one partition belongs to the worker that reads ``region.partials``."""

    def __init__(self, app: faust.App) -> None:
        self.table: faust.Table[bytes, bytes] = app.Table(
            "requests", partitions=1, key_type=bytes, value_type=bytes, store="memory://"
        )

    def known(self) -> Mapping[str, str]:
        """Every request's state as decided last."""
        return {key.decode(): value.decode() for key, value in self.table.data.items()}

    async def put(self, request_id: str, state: str | None) -> Awaitable[object]:
        """Keep a decision (None = forget); it survives a crash once the future is done."""
        key = request_id.encode()
        value = None if state is None else state.encode()
        sent: Awaitable[object] = await self.table.changelog_topic.send(
            key=key, value=value, partition=0
        )
        if value is None:
            self.table.data.pop(key, None)
        else:
            self.table.data[key] = value
        return sent
