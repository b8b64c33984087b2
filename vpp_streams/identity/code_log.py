"""Which key a code is spent on: decided by the order of topic ``identity.codes``.

Two servers may receive the same code at once, with different keys. Each writes its attempt and
reads the topic as far as that; for all who read it, the first attempt is the same one.
"""

import asyncio
from collections.abc import Awaitable, Callable

from schemas.identity import EnrolmentCode, Redemption
from vpp_streams.domain.identity.codes import Codes
from vpp_streams.kafka.decode import Read

WAIT_S = 5.0
"""How long an attempt that was written may take to be read."""


class CodeLog:
    """The codes as far as they have been read, and the attempts that wait to be."""

    def __init__(self, write: Callable[[Redemption], Awaitable[object]]) -> None:
        """``write`` returns once Kafka has the record."""
        self.codes = Codes()
        self._write = write
        self._waiting: dict[tuple[str, str], asyncio.Event] = {}

    def take(self, read: Read[EnrolmentCode | Redemption]) -> None:
        """Apply a record of the topic."""
        record = read.record
        self.codes.apply(record)
        if isinstance(record, Redemption):
            waiting = self._waiting.get((record.code_sha256, record.attempt))
            if waiting is not None:
                waiting.set()

    async def redeem(self, attempt: Redemption) -> str | None:
        """Write an attempt; returns the digest of the key that the code is spent on.

        Raises `TimeoutError` where it is not read in time, `KafkaError` where it is not written.
        """
        name = attempt.code_sha256, attempt.attempt
        seen = self._waiting[name] = asyncio.Event()
        try:
            async with asyncio.timeout(WAIT_S):
                await self._write(attempt)
                await seen.wait()
        finally:
            del self._waiting[name]
        return self.codes.spent_on(attempt.code_sha256)
