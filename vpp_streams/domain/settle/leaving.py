"""Opt-outs: those that are known, and those that owners' newest preferences add to them.

Topic ``preferences`` keeps what an owner decided last. What it means for payments has to last
longer, so each decision becomes a record with the time that it holds for. The same preferences
again give nothing new, so a process that was killed between two records adds what is missing.
"""

from collections.abc import Iterator, Mapping

import msgspec

from schemas.preferences import Preferences
from schemas.programs import OptOut
from vpp_streams.domain.settle.intervals import Span
from vpp_streams.domain.settle.opt_outs import ends_ms, holds

_replace = msgspec.structs.replace


class OptOuts:
    """Opt-outs of sites, the newest record of each."""

    def __init__(self) -> None:
        self._known: dict[str, dict[str, OptOut]] = {}
        """By site, and by request or start."""
        self._unclear: dict[str, Preferences] = {}
        """Newest preferences of sites that skip a request which is not known yet."""

    def apply(self, one: OptOut) -> OptOut | None:
        """Apply a record; returns the one that it replaces."""
        known = self._known.setdefault(one.site_id, {})
        key = one.request_id or str(one.from_ms)
        before = known.get(key)
        if before is None or before.decided_at_ms <= one.decided_at_ms:
            known[key] = one
        return before

    def decided(self, chosen: Preferences, requests: Mapping[str, Span]) -> list[OptOut]:
        """The records that preferences add or change; none if later ones were applied already.

        ``requests`` has the times of requests that may be skipped.
        """
        known = self._known.get(chosen.site_id, {})
        newest_ms = max((one.decided_at_ms for one in known.values()), default=0)
        if chosen.set_at_ms < newest_ms:
            return []
        self._unclear.pop(chosen.site_id, None)
        if any(id_ not in requests and id_ not in known for id_ in chosen.skips):
            self._unclear[chosen.site_id] = chosen
        return [*_absence(chosen, known), *_skipped(chosen, known, requests)]

    def unclear(self, request_id: str) -> list[Preferences]:
        """Preferences that skip a request which was not known when they were applied."""
        return [one for one in self._unclear.values() if request_id in one.skips]

    def within(self, span: Span) -> tuple[OptOut, ...]:
        """Those that hold at some moment of a stretch of time."""
        return tuple(
            one
            for known in self._known.values()
            for one in known.values()
            if holds(one) and one.from_ms < span[1] and ends_ms(one) > span[0]
        )

    def forget(self, before_ms: int) -> None:
        """Drop what ended before a moment."""
        for site_id, known in list(self._known.items()):
            kept = {key: one for key, one in known.items() if ends_ms(one) >= before_ms}
            if kept:
                self._known[site_id] = kept
            else:
                del self._known[site_id]


def _absence(chosen: Preferences, known: Mapping[str, OptOut]) -> Iterator[OptOut]:
    """The stretch of time in which the owner has paused or left."""
    at_ms = chosen.set_at_ms
    away = chosen.left or chosen.paused_until_ms > at_ms
    until_ms = None if chosen.left else chosen.paused_until_ms
    running = next(
        (
            one
            for one in known.values()
            if not one.request_id and one.from_ms <= at_ms < ends_ms(one)
        ),
        None,
    )
    if running is None:
        if away:
            yield OptOut(
                site_id=chosen.site_id,
                from_ms=at_ms,
                until_ms=until_ms,
                announced_ms=at_ms,
                decided_at_ms=at_ms,
            )
        return
    end_ms = until_ms if away else at_ms
    if end_ms != running.until_ms:
        yield _replace(running, until_ms=end_ms, decided_at_ms=at_ms)


def _skipped(
    chosen: Preferences, known: Mapping[str, OptOut], requests: Mapping[str, Span]
) -> Iterator[OptOut]:
    """The requests that the owner skips now, and those that are no longer skipped."""
    at_ms = chosen.set_at_ms
    for id_ in chosen.skips:
        before, span = known.get(id_), requests.get(id_)
        if span is None or span[1] <= at_ms or (before and ends_ms(before) == span[1]):
            continue
        yield OptOut(
            site_id=chosen.site_id,
            from_ms=before.from_ms if before and holds(before) else max(span[0], at_ms),
            until_ms=span[1],
            announced_ms=at_ms,
            request_id=id_,
            decided_at_ms=at_ms,
        )
    for one in known.values():
        if one.request_id and one.request_id not in chosen.skips and at_ms < ends_ms(one):
            until_ms = max(one.from_ms, at_ms)
            if until_ms != one.until_ms:
                yield _replace(one, until_ms=until_ms, decided_at_ms=at_ms)
