"""Watches: what changes in a region, encoded once for all that watch it.

Nothing is queued for a watcher. It takes the newest state when it is ready for more, so a slow one
costs no memory and misses older states, never the newest.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus

from vpp_streams.accounts.secrets import digest_of
from vpp_streams.domain.access.rights import Action, Principal
from vpp_streams.rpc.methods import Call, Send
from vpp_streams.serving.logins import Logins, unknown
from vpp_streams.serving.needs import denied
from vpp_streams.serving.problems import ApiError

LOOK_S = 0.1
"""How often it is looked for changes, s."""
REPEAT_MS = 1_000
"""What has not changed is sent again after this time, as ages grow."""
STALL_S = 10.0
"""A watcher that reads nothing for this long is ended, s."""
ASK_AGAIN_MS = 1_000
"""How often it is asked again whose token it is, ms."""
MOST_ORDINARY, MOST_OPERATORS = 1_500, 500
"""Watchers in all; those who give orders have places of their own."""
Encode = Callable[[str], bytes | None]
"""The state of a region as an encoded message; None = there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Something to watch in every region."""

    encode: Encode
    change_of: Callable[[str], int]
    """A number that grows with each change in a region."""


@dataclass(slots=True)
class Channel:
    """What is watched of one region, and its newest state."""

    source: Source
    region: str
    change: int = -1
    sent_at_ms: int = 0
    version: int = 0
    message: bytes = b""
    watchers: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def newer(self, version: int) -> tuple[int, bytes]:
        """The newest state once it is newer than ``version``, with its own version."""
        while self.version <= version:
            await self.changed.wait()
        return self.version, self.message

    def publish(self, now_ms: int) -> None:
        """Encode the state if it has changed, or was sent a while ago, and wake the watchers."""
        change = self.source.change_of(self.region)
        if change == self.change and now_ms - self.sent_at_ms < REPEAT_MS:
            return
        message = self.source.encode(self.region)
        if message is None:
            return
        self.change, self.sent_at_ms, self.message = change, now_ms, message
        self.version += 1
        self.changed.set()
        self.changed = asyncio.Event()


class Watches:
    """The channels that somebody watches, and the places of the watchers."""

    def __init__(
        self,
        logins: Logins,
        now_ms: Callable[[], int],
        *,
        per_token: int,
        counters: Counter[str] | None = None,
        stall_s: float = STALL_S,
    ) -> None:
        self._logins, self._now_ms, self._per_token = logins, now_ms, per_token
        self._stall_s = stall_s
        self._counters = Counter() if counters is None else counters
        self._channels: dict[tuple[int, str], Channel] = {}
        self._by_token: Counter[str] = Counter()
        self._kinds: Counter[bool] = Counter()
        self._asked: dict[str, Principal | None] = {}
        self._asked_at_ms = 0
        self._stopping = False

    def __len__(self) -> int:
        """The number of watchers."""
        return self._kinds.total()

    @property
    def channels(self) -> int:
        """The number of channels: 0 when nobody watches."""
        return len(self._channels)

    async def run(self) -> None:
        """Publish changes until cancelled."""
        while True:
            self.publish()
            await asyncio.sleep(LOOK_S)

    def publish(self) -> None:
        """Publish what has changed in each channel."""
        now_ms = self._now_ms()
        for channel in list(self._channels.values()):
            channel.publish(now_ms)

    def stop(self) -> None:
        """End every watch, and refuse further ones: the server stops."""
        self._stopping = True
        for channel in self._channels.values():
            channel.version += 1
            channel.changed.set()

    async def watch(
        self, source: Source, region: str, action: Action, call: Call, send: Send
    ) -> None:
        """Send the newest states of a region until the caller leaves, or may not any more.

        Raises `ApiError`: 429 without a place or for one that reads nothing, 401 and 403 once the
        token or its right has ended, 503 once the server stops.
        """
        self._asked[digest_of(call.token)] = call.who  # newer than what was known
        with self.place(call), self._channel(source, region) as channel:
            version = 0
            while True:
                version, message = await channel.newer(version)
                self._check(call, action, region)
                try:
                    async with asyncio.timeout(self._stall_s):
                        await send(message)
                except TimeoutError:
                    self._counters["watchers_stalled"] += 1
                    raise _too_slow(self._stall_s) from None

    def _check(self, call: Call, action: Action, region: str) -> None:
        if self._stopping:
            raise stops()
        who = self._holder(call.token)
        if who is None:
            raise unknown("this token has ended", "request a new one")
        if denial := who.denial(action, (region,)):
            raise denied(denial, who)

    def _holder(self, token: str) -> Principal | None:
        """Whose token it is, looked up once a second however many watchers it has."""
        now_ms = self._now_ms()
        if now_ms - self._asked_at_ms >= ASK_AGAIN_MS:
            self._asked, self._asked_at_ms = {}, now_ms
        key = digest_of(token)
        if key not in self._asked:
            self._asked[key] = self._logins.holder_now(token)
        return self._asked[key]

    @contextmanager
    def place(self, call: Call) -> Iterator[None]:
        """Hold a place during the body. Raises `ApiError` (429, 503) at once if none is free."""
        if self._stopping:
            raise stops()
        key, orders = digest_of(call.token), call.who.gives_orders
        if self._by_token[key] >= self._per_token:
            raise _full(f"your token already has {self._per_token} watchers")
        if self._kinds[orders] >= (MOST_OPERATORS if orders else MOST_ORDINARY):
            raise _full("there are too many watchers")
        self._by_token[key] += 1
        self._kinds[orders] += 1
        try:
            yield
        finally:
            self._kinds[orders] -= 1
            self._by_token[key] -= 1
            if not self._by_token[key]:
                del self._by_token[key]

    @contextmanager
    def _channel(self, source: Source, region: str) -> Iterator[Channel]:
        key = id(source), region
        channel = self._channels.setdefault(key, Channel(source, region))
        channel.watchers += 1
        try:
            if not channel.version:
                channel.publish(self._now_ms())
            yield channel
        finally:
            channel.watchers -= 1
            if not channel.watchers:
                del self._channels[key]


def stops() -> ApiError:
    """The refusal of a server that stops."""
    return ApiError(HTTPStatus.SERVICE_UNAVAILABLE, "this server stops", "connect to another one")


def _full(error: str) -> ApiError:
    return ApiError(HTTPStatus.TOO_MANY_REQUESTS, error, "end one of them first")


def _too_slow(stall_s: float) -> ApiError:
    return ApiError(
        HTTPStatus.TOO_MANY_REQUESTS,
        f"this watcher has read nothing for {stall_s:g} s",
        "watch again, and read what is sent",
    )
