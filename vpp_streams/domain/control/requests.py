"""Requests: which are accepted, which one applies to a region, and their events.

`Book` is a fold of topic ``dispatch.targets``: the same records and times give the same events.
"""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from difflib import get_close_matches
from itertools import pairwise

from schemas.dispatch import (
    FINAL_STATES,
    PRIORITIES,
    Hold,
    Limit,
    Mode,
    Request,
    RequestEvent,
    RequestState,
    Target,
    Withdraw,
)
from schemas.windows import Deliverable
from vpp_streams.domain.control.ruling import Ruling
from vpp_streams.domain.moments import DAY_MS

LONGEST_MS = 7 * DAY_MS
FURTHEST_MS = 30 * DAY_MS
SOON_MS = 60_000
"""A target that starts within this is compared with what the region can give now."""

Feeders = Mapping[str, Collection[str]]
"""Region -> the feeders of its sites; the keys are all existing regions."""
Capability = Mapping[str, tuple[Deliverable, ...]]


def held_w(deliverable: tuple[Deliverable, ...], duration_s: float) -> tuple[float, float]:
    """Power (up, down), W, that could be held for a duration, from that of given durations.

    A sum of min(rating, energy / d) is concave in 1/d, so a chord between two given durations is
    a lower bound. Shorter than the shortest counts as it; longer than the longest as its energy.
    """
    known = sorted(deliverable, key=lambda held: held.duration_s)
    if not known:
        return 0.0, 0.0
    if duration_s <= known[0].duration_s:
        return known[0].up_w, known[0].down_w
    for short, long in pairwise(known):
        if duration_s <= long.duration_s:
            part = (1 / duration_s - 1 / long.duration_s) / (
                1 / short.duration_s - 1 / long.duration_s
            )
            return (
                long.up_w + part * (short.up_w - long.up_w),
                long.down_w + part * (short.down_w - long.down_w),
            )
    last = known[-1]
    scale = last.duration_s / duration_s
    return last.up_w * scale, last.down_w * scale


def check(request: Request, now_ms: int, feeders: Feeders, capability: Capability) -> str | None:
    """Why a request cannot be accepted, in one sentence; None where it can."""
    if request.region not in feeders:
        near = get_close_matches(request.region, list(feeders), 1)
        known = f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(feeders))}"
        return f"there is no region {request.region!r}; {known}"
    if isinstance(request, Target | Limit) and (problem := _check_times(request, now_ms)):
        return problem
    if isinstance(request, Limit):
        return _check_limit(request, feeders)
    if isinstance(request, Target):
        return _check_capability(request, now_ms, capability.get(request.region))
    return None


def _check_times(request: Target | Limit, now_ms: int) -> str | None:
    if request.ends_at_ms <= request.starts_at_ms:
        return "it ends before it starts"
    if request.ends_at_ms <= now_ms:
        return "its end is in the past"
    if request.ends_at_ms - request.starts_at_ms > LONGEST_MS:
        return "it is longer than 7 days; divide it into several requests"
    if request.starts_at_ms - now_ms > FURTHEST_MS:
        return "it starts more than 30 days ahead"
    return None


def _check_limit(limit: Limit, feeders: Feeders) -> str | None:
    if limit.import_limit_w is None and limit.export_limit_w is None:
        return "a limit needs import_limit_w, export_limit_w or both"
    if limit.feeder is not None and limit.feeder not in feeders[limit.region]:
        known = ", ".join(sorted(feeders[limit.region])) or "none"
        return f"{limit.region} has no feeder {limit.feeder!r}; there are {known}"
    return None


def _check_capability(
    target: Target, now_ms: int, deliverable: tuple[Deliverable, ...] | None
) -> str | None:
    if target.best_effort or target.export_w is None or target.starts_at_ms > now_ms + SOON_MS:
        return None
    if target.metered_at == "connection":
        return None  # what the batteries have to give for it is known only when it applies
    if deliverable is None:
        return f"nothing is known of what {target.region} can give; try again in a few seconds"
    seconds = (target.ends_at_ms - max(target.starts_at_ms, now_ms)) / 1000
    up_w, down_w = held_w(deliverable, seconds)
    most_w = up_w if target.export_w > 0 else down_w
    if abs(target.export_w) <= most_w:
        return None
    what = "give" if target.export_w > 0 else "take"
    return (
        f"{target.region} can {what} {most_w / 1000:,.1f} kW for {_minutes(seconds)} now;"
        " request less, a shorter time, or best effort"
    )


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


class _Ruled:
    """How long a request was active."""

    def __init__(self) -> None:
        self._ms = 0
        self._since_ms: int | None = None

    def note(self, active: bool, now_ms: int) -> None:
        """Note whether the request is active from now on."""
        self._ms = self.until(now_ms)
        self._since_ms = now_ms if active else None

    def until(self, now_ms: int) -> int:
        """Active time up to now, ms."""
        return self._ms + (0 if self._since_ms is None else max(0, now_ms - self._since_ms))


class Book:
    """The accepted requests that are not forgotten, and the state of each."""

    def __init__(self) -> None:
        self._requests: dict[str, Target | Limit | Hold] = {}
        self._states: dict[str, RequestState] = {}
        self._seen: dict[str, Request] = {}
        self._over_ms: dict[str, int] = {}
        self._above_published: dict[str, str] = {}
        """Request -> the one that was last published as applying instead of it."""
        self._ruled: dict[str, _Ruled] = {}

    def apply(
        self, request: Request, now_ms: int, feeders: Feeders, capability: Capability
    ) -> list[RequestEvent]:
        """Accept or refuse a request. A repetition of a known one gives no events."""
        known = self._seen.get(request.request_id)
        if known is not None:
            return []  # a repetition; other content under the same id could not be reported
        self._seen[request.request_id] = request
        problem = check(request, now_ms, feeders, capability)
        if isinstance(request, Withdraw):
            problem = problem or self._cannot_withdraw(request)
            if problem is None:
                return self._withdraw(request, now_ms)
        if problem is not None:
            return [self._event(request, "rejected", now_ms, problem)]
        assert not isinstance(request, Withdraw)
        self._requests[request.request_id] = request
        self._ruled[request.request_id] = _Ruled()
        # The first event already names the request that outranks this one.
        standing = self._standing(request.region, now_ms)
        above = self._above(request, self._winner(standing)) if request in standing else None
        return [self._event(request, "accepted", now_ms, _why(above), above)]

    def restore(self, request: Request, state: str) -> None:
        """Restore a request that a worker has decided before: its event is not published again."""
        self._seen[request.request_id] = request
        self._states[request.request_id] = state  # type: ignore[assignment]  # as we wrote it
        if state in FINAL_STATES or isinstance(request, Withdraw):
            self._over_ms.setdefault(request.request_id, request.issued_at_ms)
        else:
            self._requests[request.request_id] = request

    def advance(self, now_ms: int) -> list[RequestEvent]:
        """Events of requests that have changed by now: active, outranked, completed."""
        events = [
            self._end(request, "completed", now_ms, "its time is over")
            for request in list(self._requests.values())
            if isinstance(request, Target | Limit) and request.ends_at_ms <= now_ms
        ]
        for region in sorted({r.region for r in self._requests.values()}):
            standing = self._standing(region, now_ms)
            winner = self._winner(standing)
            for request in standing:
                above = self._above(request, winner)
                state: RequestState = "outranked" if above else "active"
                if self._changed(request.request_id, state, above):
                    events.append(self._event(request, state, now_ms, _why(above), above))
        return events

    def _changed(self, id_: str, state: RequestState, above: Target | Hold | None) -> bool:
        """Whether a request's state, or the request above it, differs from what was published."""
        by = above.request_id if above else ""
        return self._states[id_] != state or self._above_published.setdefault(id_, by) != by

    def ruling(self, region: str, now_ms: int) -> Ruling:
        """The ruling of a region now."""
        standing = self._standing(region, now_ms)
        winner = self._winner(standing)
        waiting = tuple(r.request_id for r in standing if self._above(r, winner))
        limits = tuple(r for r in standing if isinstance(r, Limit))
        if isinstance(winner, Hold):
            return Ruling("hold", hold=winner, waiting=waiting)
        if isinstance(winner, Target):
            mode: Mode = "target" if winner.export_w is not None else "self_consumption"
            return Ruling(mode, winner, limits, waiting=waiting)
        return Ruling("limit" if limits else "idle", limits=limits, waiting=waiting)

    def forget(self, before_ms: int) -> list[str]:
        """Forget the requests that ended before this time; returns their ids."""
        ended = [id_ for id_, over_ms in self._over_ms.items() if over_ms < before_ms]
        for id_ in ended:
            del self._over_ms[id_]
            self._seen.pop(id_, None)
            self._states.pop(id_, None)
            self._above_published.pop(id_, None)
        return ended

    def _standing(self, region: str, now_ms: int) -> list[Target | Limit | Hold]:
        mine = (r for r in self._requests.values() if r.region == region)
        return [r for r in mine if isinstance(r, Hold) or r.starts_at_ms <= now_ms < r.ends_at_ms]

    def _winner(self, standing: Collection[Target | Limit | Hold]) -> Target | Hold | None:
        holds = [r for r in standing if isinstance(r, Hold)]
        if holds:
            return max(holds, key=lambda r: (r.issued_at_ms, r.request_id))
        targets = [r for r in standing if isinstance(r, Target)]
        return max(
            targets,
            key=lambda t: (PRIORITIES.index(t.priority), t.issued_at_ms, t.request_id),
            default=None,
        )

    def _above(
        self, request: Target | Limit | Hold, winner: Target | Hold | None
    ) -> Target | Hold | None:
        """The request that outranks this one; limits act beside a target, not under a hold."""
        if winner is None or request.request_id == winner.request_id:
            return None
        if isinstance(request, Hold) or (
            isinstance(request, Limit) and not isinstance(winner, Hold)
        ):
            return None
        return winner

    def _cannot_withdraw(self, request: Withdraw) -> str | None:
        named = self._requests.get(request.withdraws)
        if named is None:
            return f"there is no open request {request.withdraws!r}"
        if named.region != request.region:
            return f"request {request.withdraws!r} is one of {named.region}"
        return None

    def _withdraw(self, request: Withdraw, now_ms: int) -> list[RequestEvent]:
        named = self._requests[request.withdraws]
        self._over_ms[request.request_id] = now_ms
        self._states[request.request_id] = "completed"
        reason = f"by {request.source}"
        return [
            RequestEvent(
                request_id=request.request_id,
                region=request.region,
                state="completed",
                at_ms=now_ms,
                request=request,
            ),
            self._end(named, "withdrawn", now_ms, reason, request.request_id),
        ]

    def _end(
        self,
        request: Target | Limit | Hold,
        state: RequestState,
        now_ms: int,
        reason: str,
        by: str = "",
    ) -> RequestEvent:
        del self._requests[request.request_id]
        self._states[request.request_id] = state
        self._over_ms[request.request_id] = now_ms
        ruled = self._ruled.pop(request.request_id, None)
        ruled_ms = None if ruled is None else ruled.until(now_ms)
        if ruled_ms == 0 and self._above_published.get(request.request_id):
            reason += ", and it never ruled: others stood above it"
        return RequestEvent(
            request_id=request.request_id,
            region=request.region,
            state=state,
            at_ms=now_ms,
            reason=reason,
            by=by,
            ruled_ms=ruled_ms,
        )

    def _event(
        self,
        request: Request,
        state: RequestState,
        now_ms: int,
        reason: str = "",
        by: Target | Hold | None = None,
    ) -> RequestEvent:
        self._states[request.request_id] = state
        self._above_published[request.request_id] = by.request_id if by else ""
        if state in FINAL_STATES:
            self._over_ms[request.request_id] = now_ms
        if (ruled := self._ruled.get(request.request_id)) is not None:
            ruled.note(state == "active", now_ms)
        first = state in ("accepted", "rejected")
        return RequestEvent(
            request_id=request.request_id,
            region=request.region,
            state=state,
            at_ms=now_ms,
            reason=reason,
            by=by.request_id if by else "",
            request=request if first else None,
        )


def _why(above: Target | Hold | None) -> str:
    match above:
        case Hold():
            return f"the region is held by {above.source} ({above.request_id})"
        case Target():
            until = datetime.fromtimestamp(above.ends_at_ms / 1000, UTC)
            return (
                f"{above.request_id} of {above.source} rules until {until:%Y-%m-%d %H:%M:%S} UTC"
                f" (priority {above.priority})"
            )
    return ""
