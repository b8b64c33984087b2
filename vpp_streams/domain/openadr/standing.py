"""Our requests and alerts that apply, and the records to write so that they match the events.

A fold of our own records of ``dispatch.targets`` and ``grid.alerts``: after a restart the topics
give the same state, so that an event deleted in the meantime is withdrawn then.
"""

from collections.abc import Iterable

import msgspec

from schemas.dispatch import Hold, Limit, Request, Target, Withdraw
from schemas.grid import Alert
from vpp_streams.domain.openadr.requests import Ven

PowerRequest = Target | Limit


class Standing:
    """The records that were written for one VEN and region, and have not ended."""

    def __init__(self, ven: Ven) -> None:
        self._ven = ven
        self._requests: dict[str, PowerRequest] = {}
        self._withdrawn: set[str] = set()
        """Withdrawn by us; if wanted again, it needs another id."""
        self._declined: set[str] = set()
        """Withdrawn by another, an operator for example; not requested again."""
        self._alerts: dict[str, Alert] = {}

    def __len__(self) -> int:
        return len(self._requests) + len(self._alerts)

    def on_request(self, record_id: str, request: Request | None) -> None:
        """Apply a record of ``dispatch.targets``; None = the dispatcher has forgotten it."""
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
        """Apply a record of ``grid.alerts``; the newest of an id counts."""
        if alert is None or alert.cancelled:
            self._alerts.pop(alert_id, None)
        elif alert.source == self._ven.source and self._ven.region in alert.regions:
            self._alerts[alert_id] = alert

    def request_changes(
        self, wanted: Iterable[PowerRequest], now_ms: int
    ) -> list[PowerRequest | Withdraw]:
        """The records to write: new ones first, so that the batteries always have an order."""
        self._requests = {i: r for i, r in self._requests.items() if r.ends_at_ms > now_ms}
        standing = {_base(id_) for id_ in self._requests}
        by_id = {r.request_id: r for r in wanted if r.request_id not in self._declined}
        new: list[PowerRequest | Withdraw] = [
            msgspec.structs.replace(request, request_id=self._free(base))
            for base, request in by_id.items()
            if base not in standing
        ]
        ended = [id_ for id_ in self._requests if _base(id_) not in by_id]
        return new + [
            Withdraw(
                request_id=f"w-{id_}",
                region=self._ven.region,
                withdraws=id_,
                source=self._ven.source,
                issued_at_ms=now_ms,
            )
            for id_ in ended
        ]

    def alert_changes(self, wanted: Iterable[Alert], now_ms: int) -> list[Alert]:
        """The records to write: new and changed alerts, and cancellations."""
        by_id = {alert.alert_id: alert for alert in wanted}
        cancelled = [
            msgspec.structs.replace(alert, cancelled=True)
            for id_, alert in self._alerts.items()
            if id_ not in by_id and alert.ends_at_ms > now_ms
        ]
        return [a for id_, a in by_id.items() if self._alerts.get(id_) != a] + cancelled

    def _is_ours(self, request: PowerRequest) -> bool:
        return request.region == self._ven.region and request.source == self._ven.source

    def _free(self, base: str) -> str:
        """An id that was not withdrawn yet, because the dispatcher accepts an id only once."""
        id_, n = base, 0
        while id_ in self._withdrawn:
            n += 1
            id_ = f"{base}.{n}"
        return id_


def _base(request_id: str) -> str:
    """The id as first given; a suffix after the digest counts its withdrawals."""
    head, dash, digest = request_id.rpartition("-")
    return f"{head}{dash}{digest.partition('.')[0]}"
