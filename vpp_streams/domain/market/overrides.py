"""Time in which a request other than an award applied to the award's region.

What is delivered then is what somebody else asked for, so it counts neither for nor against the
fleet. A fold of topic ``dispatch.events``: the same records give the same times.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from schemas.dispatch import DispatchEvent, DispatchStatus, RequestEvent
from schemas.market import Award
from vpp_streams.domain.market.ledger import ends_ms

HOLDS_MS = 6_000
"""A status holds until the next one, and at most this long."""


@dataclass(frozen=True, slots=True)
class Override:
    """A stretch of time in which other requests took precedence over an award."""

    from_ms: int
    until_ms: int
    by: tuple[str, ...]
    """Ids of the requests."""


class Overrides:
    """What regions report about requests that outrank awards, and about limits that cut them."""

    def __init__(self) -> None:
        self._states: dict[str, list[tuple[int, str]]] = defaultdict(list)
        """Request -> from when on which other one ("" = none) stood in its way."""
        self._limited: dict[str, list[Override]] = defaultdict(list)
        """Region -> stretches of time in which limits cut its target."""

    def apply(self, event: DispatchEvent) -> None:
        """Apply a record of topic ``dispatch.events``."""
        match event:
            case RequestEvent():
                self._states[event.request_id].append((event.at_ms, event.by))
            case DispatchStatus():
                self._status(event)

    def _status(self, status: DispatchStatus) -> None:
        spans, at_ms, from_ms = self._limited[status.region], status.at_ms, status.at_ms
        if spans and spans[-1].until_ms >= at_ms:
            last = spans.pop()
            if last.by == status.limited_by:
                from_ms = last.from_ms
            else:
                spans.append(Override(last.from_ms, at_ms, last.by))
        if status.limited_by:
            spans.append(Override(from_ms, at_ms + HOLDS_MS, status.limited_by))

    def of(self, award: Award, awards: Collection[str]) -> tuple[Override, ...]:
        """The stretches of an award's interval that other requests took, in order.

        ``awards`` are the ids of all awards: the one that follows another outranks it by design.
        """
        states = self._states.get(award.bid_id, [])
        ends = [*(at_ms for at_ms, _ in states[1:]), ends_ms(award)]
        outranked = (
            Override(at_ms, until_ms, (by,))
            for (at_ms, by), until_ms in zip(states, ends, strict=False)
            if by and by not in awards
        )
        return _joined((*outranked, *self._limited.get(award.region, ())), award)

    def now(self, award: Award, awards: Collection[str], now_ms: int) -> tuple[str, ...]:
        """The requests that take precedence over a running award now."""
        found = self.of(award, awards)
        return next((one.by for one in found if one.from_ms <= now_ms < one.until_ms), ())

    def forget(self, before_ms: int) -> None:
        """Drop what was over before a time."""
        for id_ in [id_ for id_, known in self._states.items() if known[-1][0] < before_ms]:
            del self._states[id_]
        for region, spans in self._limited.items():
            self._limited[region] = [span for span in spans if span.until_ms >= before_ms]


def overridden_ms(overrides: Iterable[Override], from_ms: int, until_ms: int) -> int:
    """How much of a stretch of time overrides take; they do not overlap."""
    return sum(max(min(one.until_ms, until_ms) - max(one.from_ms, from_ms), 0) for one in overrides)


def _joined(found: Iterable[Override], award: Award) -> tuple[Override, ...]:
    """The overrides within the award's interval, in order; those that overlap become one."""
    joined: list[Override] = []
    for one in sorted(found, key=lambda one: one.from_ms):
        from_ms, until_ms = max(one.from_ms, award.start_ms), min(one.until_ms, ends_ms(award))
        if until_ms <= from_ms:
            continue
        by = one.by
        if joined and joined[-1].until_ms >= from_ms:
            before = joined.pop()
            from_ms, until_ms = before.from_ms, max(until_ms, before.until_ms)
            by = tuple(dict.fromkeys((*before.by, *one.by)))
        joined.append(Override(from_ms, until_ms, by))
    return tuple(joined)
