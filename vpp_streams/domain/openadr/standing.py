"""Which of our requests and alerts stand, and what has to be written so that they are as asked.

A fold of our own records of ``dispatch.targets`` and ``grid.alerts``: after a restart the topics
give the same state, so an event that was deleted meanwhile is withdrawn then.
"""

from collections.abc import Iterable

import msgspec

from schemas.dispatch import Hold, Limit, Request, Target, Withdraw
from schemas.grid import Alert
from vpp_streams.domain.openadr.requests import Ven

PowerRequest = Target | Limit


class Standing:
    """What was written for one VEN and region, and is not over."""

    def __init__(self, ven: Ven) -> None:
        self._ven = ven
        self._requests: dict[str, PowerRequest] = {}
        self._withdrawn: set[str] = set()
        """By us: asked again, it needs another id."""
        self._declined: set[str] = set()
        """Withdrawn by another, an operator for example: not asked again."""
        self._alerts: dict[str, Alert] = {}

    def __len__(self) -> int:
        return len(self._requests) + len(self._alerts)

    def on_request(self, record_id: str, request: Request | None) -> None:
        """A record of ``dispatch.targets``; None = the dispatcher has forgotten it."""
        if request is None:
            self._requests.pop(record_id, None)
            self._withdrawn.discard(record_id)
        elif isinstance(request, Withdraw):
            ours = request.source == self._ven.source
            if ours and request.region == self._ven.region:
                self._withdrawn.add(request.withdraws)
            elif request.withdraws in self._requests:
                self._declined.add(_base(request.withdraws))
            self._requests.pop(request.withdraws, None)
        elif isinstance(request, Hold) or record_id in self._withdrawn:
            return
        elif self._is_ours(request):
            self._requests.setdefault(record_id, request)

    def on_alert(self, alert_id: str, alert: Alert | None) -> None:
        """A record of ``grid.alerts``; the newest of an id counts."""
        if alert is None or alert.cancelled:
            self._alerts.pop(alert_id, None)
        elif alert.source == self._ven.source and self._ven.region in alert.regions:
            self._alerts[alert_id] = alert

    def request_changes(
        self, wanted: Iterable[PowerRequest], now_ms: int
    ) -> list[PowerRequest | Withdraw]:
        """What to write: the new ones first, so that the batteries are never without an order."""
        self._requests = {i: r for i, r in self._requests.items() if r.ends_at_ms > now_ms}
        standing = {_base(id_) for id_ in self._requests}
        asked = {r.request_id: r for r in wanted if r.request_id not in self._declined}
        new: list[PowerRequest | Withdraw] = [
            msgspec.structs.replace(request, request_id=self._free(base))
            for base, request in asked.items()
            if base not in standing
        ]
        gone = [id_ for id_ in self._requests if _base(id_) not in asked]
        return new + [
            Withdraw(
                request_id=f"w-{id_}",
                region=self._ven.region,
                withdraws=id_,
                source=self._ven.source,
                issued_at_ms=now_ms,
            )
            for id_ in gone
        ]

    def alert_changes(self, wanted: Iterable[Alert], now_ms: int) -> list[Alert]:
        """What to write: new and changed alerts, and those that are called off."""
        asked = {alert.alert_id: alert for alert in wanted}
        gone = [
            msgspec.structs.replace(alert, cancelled=True)
            for id_, alert in self._alerts.items()
            if id_ not in asked and alert.ends_at_ms > now_ms
        ]
        return [a for id_, a in asked.items() if self._alerts.get(id_) != a] + gone

    def _is_ours(self, request: PowerRequest) -> bool:
        return request.region == self._ven.region and request.source == self._ven.source

    def _free(self, base: str) -> str:
        """An id that was not withdrawn yet: the dispatcher takes an id once only."""
        id_, n = base, 0
        while id_ in self._withdrawn:
            n += 1
            id_ = f"{base}.{n}"
        return id_


def _base(request_id: str) -> str:
    """The id as it was first given: what follows the digest is how often it was withdrawn."""
    head, dash, digest = request_id.rpartition("-")
    return f"{head}{dash}{digest.partition('.')[0]}"
