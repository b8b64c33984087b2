"""The dispatch of each region and the state of every request; of bounded size."""

from collections import deque
from collections.abc import Callable

from schemas.dispatch import (
    FINAL_STATES,
    DispatchEvent,
    DispatchStatus,
    Hold,
    Limit,
    Notice,
    Request,
    RequestEvent,
    RequestState,
    Target,
    Withdraw,
)
from vpp_streams.serving.control_views import (
    DispatchHistory,
    DispatchNow,
    DispatchView,
    RequestView,
)
from vpp_streams.serving.pipeline import STALE_MS

HISTORY_MS = 30 * 60_000
_STEP_MS = 450
"""Points are at least this far apart, except that each change of the request is a point."""
_MAX_POINTS = HISTORY_MS // _STEP_MS
_MAX_REQUESTS = 5000
_MAX_SHOWN = 100
_MAX_REGIONS = 1000


class _TrackedRequest:
    """One request and its newest state."""

    def __init__(self) -> None:
        self.request: Request | None = None
        self.event: RequestEvent | None = None

    @property
    def over(self) -> bool:
        return self.event is not None and self.event.state in FINAL_STATES


class _Region:
    def __init__(self) -> None:
        self.status: DispatchStatus | None = None
        self.received_ms = 0
        self.change = 0
        self.notices: dict[str, Notice] = {}
        self.history: deque[DispatchStatus] = deque(maxlen=_MAX_POINTS)


class Dispatches:
    """The content of topics ``dispatch.targets`` and ``dispatch.events``."""

    def __init__(self) -> None:
        self.on_event: list[Callable[[RequestEvent], None]] = []
        """Called with every event of a request, after it was applied."""
        self._regions: dict[str, _Region] = {}
        self._requests: dict[str, _TrackedRequest] = {}
        self._changes = 0

    def apply_request(self, request: Request) -> None:
        """Apply a request as it was written; the first of an id counts."""
        tracked = self._of_request(request.request_id)
        tracked.request = tracked.request or request

    def forget_request(self, request_id: str) -> None:
        """Forget a request that was removed from its topic."""
        self._requests.pop(request_id, None)

    def apply_event(self, event: DispatchEvent, now_ms: int) -> None:
        """Apply a report of the region role."""
        region = self._of(event.region)
        self._changes += 1
        region.change = self._changes
        match event:
            case RequestEvent():
                tracked = self._of_request(event.request_id)
                tracked.event = event
                tracked.request = tracked.request or event.request
                for listener in list(self.on_event):
                    listener(event)
            case Notice():
                region.notices.pop(event.request_id, None)
                if event.missing_w:
                    region.notices[event.request_id] = event
                while len(region.notices) > _MAX_SHOWN:
                    del region.notices[next(iter(region.notices))]
            case DispatchStatus():
                region.status, region.received_ms = event, now_ms
                _keep(region.history, event)

    def request(self, request_id: str) -> tuple[Request | None, RequestState | None]:
        """A request and its newest state, each None if it is not known."""
        tracked = self._requests.get(request_id)
        if tracked is None:
            return None, None
        return tracked.request, tracked.event.state if tracked.event else None

    def not_over(self, region: str, now_ms: int) -> list[Target]:
        """Targets of a region that may still rule it, now or later."""
        return [
            tracked.request
            for tracked in self._requests.values()
            if isinstance(tracked.request, Target)
            and tracked.request.region == region
            and tracked.request.ends_at_ms > now_ms
            and not tracked.over
        ]

    def change_of(self, name: str) -> int:
        """Increases with every report of one region; 0 = there is none."""
        region = self._regions.get(name)
        return 0 if region is None else region.change

    def ruling(self, now_ms: int) -> dict[str, str]:
        """Region -> the request that it carries out now, where that was reported lately."""
        return {
            name: region.status.request_id
            for name, region in self._regions.items()
            if region.status is not None
            and region.status.request_id
            and now_ms - region.received_ms <= STALE_MS
        }

    @property
    def changes(self) -> int:
        """Increases with every report; see `now`."""
        return self._changes

    def now(self, now_ms: int, changed_since: int = 0) -> list[DispatchNow]:
        """The dispatch of each region with a report after ``changed_since`` (see `changes`)."""
        return [
            self._now(name, region, now_ms)
            for name, region in sorted(self._regions.items())
            if region.change > changed_since
        ]

    def one(self, name: str, now_ms: int) -> DispatchNow | None:
        """A region's dispatch now; None if no report of it was received."""
        region = self._regions.get(name)
        return None if region is None else self._now(name, region, now_ms)

    def view(self, name: str, points: int, now_ms: int) -> DispatchView:
        """A region's dispatch: its present state, its requests, and the last half hour."""
        region = self._regions.get(name) or _Region()
        return DispatchView(
            now=self._now(name, region, now_ms),
            requests=self._requests_of(name, region.status, now_ms),
            history=_history(list(region.history), points),
        )

    def _now(self, name: str, region: _Region, now_ms: int) -> DispatchNow:
        age_ms = max(0, now_ms - region.received_ms)
        return DispatchNow(
            region=name,
            heard_ago_s=age_ms / 1000 if region.status else None,
            stale=region.status is None or age_ms > STALE_MS,
            status=region.status,
            notices=list(region.notices.values()),
            ruling=self._ruling(name, region.status),
        )

    def _ruling(self, name: str, status: DispatchStatus | None) -> Target | Limit | Hold | None:
        """The request that rules a region; None = none, or it is not known here."""
        if status is None:
            return None
        if status.mode == "hold":  # its status names no request: any hold of the region stops it
            holds = (
                tracked.request
                for tracked in self._requests.values()
                if not tracked.over and isinstance(tracked.request, Hold)
            )
            return next((hold for hold in holds if hold.region == name), None)
        request, _ = self.request(status.request_id)
        return None if isinstance(request, Withdraw) else request

    def _requests_of(
        self, name: str, status: DispatchStatus | None, now_ms: int
    ) -> list[RequestView]:
        found = [
            _view(tracked.request, tracked.event, status, now_ms)
            for tracked in self._requests.values()
            if isinstance(tracked.request, Target | Limit | Hold) and tracked.request.region == name
        ]
        # Requests that have not ended come first, then the newest.
        found.sort(key=lambda v: (v.state in FINAL_STATES, -v.request.issued_at_ms))
        return found[:_MAX_SHOWN]

    def _of(self, name: str) -> _Region:
        if name not in self._regions and len(self._regions) >= _MAX_REGIONS:
            del self._regions[min(self._regions, key=lambda key: self._regions[key].received_ms)]
        return self._regions.setdefault(name, _Region())

    def _of_request(self, request_id: str) -> _TrackedRequest:
        if request_id not in self._requests and len(self._requests) >= _MAX_REQUESTS:
            # Requests that have ended are dropped first, the oldest before others.
            oldest = min(self._requests, key=lambda key: not self._requests[key].over)
            del self._requests[oldest]
        return self._requests.setdefault(request_id, _TrackedRequest())


def _keep(history: deque[DispatchStatus], status: DispatchStatus) -> None:
    """Add a point; a replay that starts again in the past replaces its earlier points."""
    while history and history[-1].at_ms > status.at_ms:
        history.pop()
    before = history[-1] if history else None
    if (
        before is None
        or status.at_ms - before.at_ms >= _STEP_MS
        or _request_changed(before, status)
    ):
        history.append(status)


def _request_changed(before: DispatchStatus, status: DispatchStatus) -> bool:
    return (before.request_id, before.asked_w) != (status.request_id, status.asked_w)


def _view(
    request: Target | Limit | Hold,
    event: RequestEvent | None,
    status: DispatchStatus | None,
    now_ms: int,
) -> RequestView:
    return RequestView(
        request=request,
        state=event.state if event else _state_without_event(request, status, now_ms),
        reason=event.reason if event else "",
        by=event.by if event else "",
        at_ms=event.at_ms if event else request.issued_at_ms,
        ruled_ms=event.ruled_ms if event else None,
    )


def _state_without_event(
    request: Target | Limit | Hold, status: DispatchStatus | None, now_ms: int
) -> RequestState | None:
    """The state of a request whose last event is older than what this process has read."""
    if not isinstance(request, Hold) and request.ends_at_ms <= now_ms:
        return "completed"
    if status is not None and request.request_id == status.request_id:
        return "active"
    if status is not None and request.request_id in status.waiting:
        return "outranked"
    return None


def _history(statuses: list[DispatchStatus], points: int) -> DispatchHistory:
    if statuses:
        newest_ms = statuses[-1].at_ms
        statuses = [status for status in statuses if status.at_ms > newest_ms - HISTORY_MS]
    step = max(1, -(-len(statuses) // points))
    statuses = statuses[::-1][::step][::-1]
    return DispatchHistory(
        at_ms=[status.at_ms for status in statuses],
        asked_w=[status.asked_w for status in statuses],
        allocated_w=[status.allocated_w for status in statuses],
        measured_w=[status.measured_w for status in statuses],
    )
