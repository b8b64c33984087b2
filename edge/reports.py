"""Command reports without an answer yet: bounded, the oldest dropped first."""

from schemas.protocol import CommandStatus

_MOST = 64


class Reports:
    """Reports by message id, each with the time from which it may be sent (again)."""

    def __init__(self) -> None:
        self._reports: dict[str, CommandStatus] = {}  # in the order they were made
        self._due_ms: dict[str, int] = {}
        self._made = 0

    def __len__(self) -> int:
        return len(self._reports)

    def add(self, report: CommandStatus) -> int:
        """Keep a new report; returns how many were dropped to make room."""
        self._made += 1
        id_ = f"status-{self._made}"
        self._reports[id_], self._due_ms[id_] = report, 0
        return self.forget(next(iter(self._reports))) if len(self) > _MOST else 0

    def command_ids(self) -> tuple[str, ...]:
        """Ids of the reports' commands, the oldest first."""
        return tuple(dict.fromkeys(report.id for report in self._reports.values()))

    def forget(self, id_: str) -> bool:
        """Forget an answered report; returns whether there was one with this id."""
        self._due_ms.pop(id_, None)
        return self._reports.pop(id_, None) is not None

    def later(self, id_: str, due_ms: int) -> bool:
        """Put off a report until ``due_ms``; returns whether there is one with this id."""
        if id_ in self._due_ms:
            self._due_ms[id_] = due_ms
        return id_ in self._due_ms

    def all_due(self) -> None:
        """Make every report due: the link was lost, with all messages in flight."""
        self._due_ms = dict.fromkeys(self._due_ms, 0)

    def due(self, now_ms: int, again_ms: int) -> list[tuple[str, CommandStatus]]:
        """The reports that may be sent now; they are not due again before ``again_ms``."""
        ready = [id_ for id_, due_ms in self._due_ms.items() if due_ms <= now_ms]
        self._due_ms.update(dict.fromkeys(ready, again_ms))
        return [(id_, self._reports[id_]) for id_ in ready]
