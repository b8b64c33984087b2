"""Places for connections: a flood of them does not keep out anybody with an operator's token.

Three kinds of places limit the file descriptors that the process uses:

- *ordinary* ones, limited in all and per client address;
- *waiting* ones, for connections beyond these limits: they may still send a token, and when all
  are taken, the oldest one of the client with most of them is closed for a new connection;
- *operators'*, for waiting connections that send an operator's token.

A connection that has sent a request counts more than one that has not: if a client is at its
limit, its oldest connection without a request is closed for one with a request.
"""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from vpp_streams.serving.client_names import client_of

_MOST_ORDINARY, _MOST_WAITING, _MOST_OPERATORS = 1024, 128, 64
BACKLOG = 32
"""Connections that are accepted at once, before any of them has a place."""
_OTHER_FILES = 64 + 2 * BACKLOG
"""Descriptors for Kafka, the fleet worker, files, and connections that have no place yet."""


class Occupant(Protocol):
    """A connection that holds a place."""

    def close_now(self) -> None:
        """Close the connection at once."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The largest numbers of connections."""

    ordinary: int
    per_client: int
    """Ordinary connections of one client address."""
    waiting: int
    operators: int


def limits_for(open_files: int, per_client: int) -> Limits:
    """The limits of a process that may open this many files."""
    spare = max(12, open_files - _OTHER_FILES)
    waiting, operators = min(_MOST_WAITING, spare // 4), min(_MOST_OPERATORS, spare // 4)
    return Limits(
        ordinary=min(_MOST_ORDINARY, spare - waiting - operators),
        per_client=per_client,
        waiting=waiting,
        operators=operators,
    )


class Places:
    """The places, and the connections that hold them."""

    def __init__(
        self,
        limits: Limits,
        proxies: Collection[str] = (),
        counters: Counter[str] | None = None,
    ) -> None:
        """Refusals are counted in ``counters``."""
        self.limits = limits
        self.counters = Counter() if counters is None else counters
        self._proxies = frozenset(proxies)
        """Addresses that stand for many clients: `Limits.per_client` does not apply to them."""
        self._ordinary: dict[Occupant, str] = {}
        self._silent: dict[Occupant, str] = {}
        """Ordinary connections that have sent no request yet, the oldest first."""
        self._waiting: dict[Occupant, str] = {}
        self._operators: dict[Occupant, str] = {}
        self._per_client: Counter[str] = Counter()

    def enter(self, who: Occupant, address: str) -> None:
        """Give a new connection a place; if all are taken, a waiting connection is closed."""
        client = client_of(address)
        if self._has_room(client):
            self._take(who, client)
            self._silent[who] = client
            return
        if len(self._waiting) >= self.limits.waiting:
            self._close(_oldest_of_largest(self._waiting))
        self._waiting[who] = client

    def request_received(self, who: Occupant) -> bool:
        """Note that a connection has sent a request; whether it now has a place to be served."""
        self._silent.pop(who, None)
        client = self._waiting.get(who)
        if client is None:
            return True
        if not self._has_room(client) and (silent := self._silent_to_close(client)) is not None:
            self._close(silent)
        if not self._has_room(client):
            return False
        del self._waiting[who]
        self._take(who, client)
        return True

    def admit_operator(self, who: Occupant) -> bool:
        """Move an operator's waiting connection to an operators' place; False if none is free."""
        if len(self._operators) >= self.limits.operators:
            return False
        self._operators[who] = self._waiting.pop(who, "")
        return True

    def refuse(self) -> None:
        """Count a request that is not served because its connection has no place."""
        self.counters["requests_refused"] += 1

    def leave(self, who: Occupant) -> None:
        """Free the place of a closed connection."""
        self._silent.pop(who, None)
        self._waiting.pop(who, None)
        self._operators.pop(who, None)
        client = self._ordinary.pop(who, None)
        if client is not None:
            self._per_client[client] -= 1
            if not self._per_client[client]:
                del self._per_client[client]

    def __len__(self) -> int:
        return len(self._ordinary) + len(self._waiting) + len(self._operators)

    def _has_room(self, client: str) -> bool:
        if len(self._ordinary) >= self.limits.ordinary:
            return False
        return client in self._proxies or self._per_client[client] < self.limits.per_client

    def _take(self, who: Occupant, client: str) -> None:
        self._ordinary[who] = client
        self._per_client[client] += 1

    def _silent_to_close(self, client: str) -> Occupant | None:
        own = next((who for who, its in self._silent.items() if its == client), None)
        if own is not None or len(self._ordinary) < self.limits.ordinary:
            return own
        return _oldest_of_largest(self._silent) if self._silent else None

    def _close(self, who: Occupant) -> None:
        self.counters["connections_closed"] += 1
        self.leave(who)
        who.close_now()


def _oldest_of_largest(occupants: dict[Occupant, str]) -> Occupant:
    """The oldest connection of the client with the most connections here."""
    client, _ = Counter(occupants.values()).most_common(1)[0]
    return next(who for who, its in occupants.items() if its == client)
