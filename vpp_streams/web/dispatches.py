"""What is asked of each region, what it gives, and what became of every request; bounded."""

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
)
from vpp_streams.web.control_views import DispatchHistory, DispatchNow, DispatchView, RequestView
from vpp_streams.web.pipeline import STALE_MS

HISTORY_MS = 30 * 60_000
_STEP_MS = 450
"""Points come no closer than this, except that a change of what is asked is always one."""
_MAX_POINTS = HISTORY_MS // _STEP_MS
_MAX_REQUESTS = 5000
_MAX_SHOWN = 100
_MAX_REGIONS = 1000


class _TrackedRequest:
    """One request and its newest state."""

    def __init__(self) -> None:
        self.request: Request | None = None
        self.told: RequestEvent | None = None

    @property
    def over(self) -> bool:
        return self.told is not None and self.told.state in FINAL_STATES


class _Region:
    def __init__(self) -> None:
        self.status: DispatchStatus | None = None
        self.heard_ms = 0
        self.change = 0
        self.notices: dict[str, Notice] = {}
        self.history: deque[DispatchStatus] = deque(maxlen=_MAX_POINTS)


class Dispatches:
    """What topics ``dispatch.targets`` and ``dispatch.events`` say."""

    def __init__(self) -> None:
        self.on_event: list[Callable[[RequestEvent], None]] = []
        """Called with every event of a request, after it is applied."""
        self._regions: dict[str, _Region] = {}
        self._asked: dict[str, _TrackedRequest] = {}
        self._changes = 0

    def apply_request(self, request: Request) -> None:
        """Take a request as it was written; the first of an id stands."""
        asked = self._of_request(request.request_id)
        asked.request = asked.request or request

    def forget_request(self, request_id: str) -> None:
        """The request was removed from its topic."""
        self._asked.pop(request_id, None)

    def apply_told(self, told: DispatchEvent, now_ms: int) -> None:
        """Take what the region role says."""
        region = self._of(told.region)
        self._changes += 1
        region.change = self._changes
        match told:
            case RequestEvent():
                asked = self._of_request(told.request_id)
                asked.told = told
                asked.request = asked.request or told.request
                for listener in list(self.on_event):
                    listener(told)
            case Notice():
                region.notices.pop(told.request_id, None)
                if told.missing_w:
                    region.notices[told.request_id] = told
                while len(region.notices) > _MAX_SHOWN:
                    del region.notices[next(iter(region.notices))]
            case DispatchStatus():
                region.status, region.heard_ms = told, now_ms
                _keep(region.history, told)

    def request(self, request_id: str) -> tuple[Request | None, RequestState | None]:
        """A request and its newest state, as far as either is known."""
        asked = self._asked.get(request_id)
        if asked is None:
            return None, None
        return asked.request, asked.told.state if asked.told else None

    @property
    def changes(self) -> int:
        """Rises with everything told; see `now`."""
        return self._changes

    def now(self, now_ms: int, changed_since: int = 0) -> list[DispatchNow]:
        """Each region's dispatch, of those of which something was told after ``changed_since``."""
        return [
            _now(name, region, now_ms)
            for name, region in sorted(self._regions.items())
            if region.change > changed_since
        ]

    def one(self, name: str, now_ms: int) -> DispatchNow | None:
        """A region's dispatch now; None where nothing was heard of it."""
        region = self._regions.get(name)
        return None if region is None else _now(name, region, now_ms)

    def view(self, name: str, points: int, now_ms: int) -> DispatchView:
        """A region's dispatch: now, what is asked of it, and the last half hour."""
        region = self._regions.get(name) or _Region()
        return DispatchView(
            now=_now(name, region, now_ms),
            requests=self._requests_of(name, region.status, now_ms),
            history=_history(list(region.history), points),
        )

    def _requests_of(
        self, name: str, status: DispatchStatus | None, now_ms: int
    ) -> list[RequestView]:
        found = [
            _view(asked.request, asked.told, status, now_ms)
            for asked in self._asked.values()
            if isinstance(asked.request, Target | Limit | Hold) and asked.request.region == name
        ]
        # What stands comes first, then the newest.
        found.sort(key=lambda v: (v.state in FINAL_STATES, -v.request.issued_at_ms))
        return found[:_MAX_SHOWN]

    def _of(self, name: str) -> _Region:
        if name not in self._regions and len(self._regions) >= _MAX_REGIONS:
            del self._regions[min(self._regions, key=lambda key: self._regions[key].heard_ms)]
        return self._regions.setdefault(name, _Region())

    def _of_request(self, request_id: str) -> _TrackedRequest:
        if request_id not in self._asked and len(self._asked) >= _MAX_REQUESTS:
            # What is over leaves first; among equals the oldest.
            oldest = min(self._asked, key=lambda key: not self._asked[key].over)
            del self._asked[oldest]
        return self._asked.setdefault(request_id, _TrackedRequest())


def _keep(history: deque[DispatchStatus], status: DispatchStatus) -> None:
    """Add a point; a replay that starts again in the past takes the place of what it did before."""
    while history and history[-1].at_ms > status.at_ms:
        history.pop()
    before = history[-1] if history else None
    if before is None or status.at_ms - before.at_ms >= _STEP_MS or _asks_else(before, status):
        history.append(status)


def _asks_else(before: DispatchStatus, status: DispatchStatus) -> bool:
    return (before.request_id, before.asked_w) != (status.request_id, status.asked_w)


def _now(name: str, region: _Region, now_ms: int) -> DispatchNow:
    heard_ago_ms = max(0, now_ms - region.heard_ms)
    return DispatchNow(
        region=name,
        heard_ago_s=heard_ago_ms / 1000 if region.status else None,
        stale=region.status is None or heard_ago_ms > STALE_MS,
        status=region.status,
        notices=list(region.notices.values()),
    )


def _view(
    request: Target | Limit | Hold,
    told: RequestEvent | None,
    status: DispatchStatus | None,
    now_ms: int,
) -> RequestView:
    return RequestView(
        request=request,
        state=told.state if told else _state_unheard(request, status, now_ms),
        reason=told.reason if told else "",
        by=told.by if told else "",
        at_ms=told.at_ms if told else request.issued_at_ms,
        ruled_ms=told.ruled_ms if told else None,
    )


def _state_unheard(
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
