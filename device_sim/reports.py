"""Command reports that no answer has covered yet: bounded, oldest dropped first."""

from schemas.protocol import CommandStatus

_MOST = 64


class Reports:
    """Reports by message id. Each has a moment from which on it may go (again)."""

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
        """The commands that they are of, the oldest first."""
        return tuple(dict.fromkeys(report.id for report in self._reports.values()))

    def forget(self, id_: str) -> bool:
        """An answer has come; returns whether it was for one of these."""
        self._due_ms.pop(id_, None)
        return self._reports.pop(id_, None) is not None

    def later(self, id_: str, due_ms: int) -> bool:
        """Not before then; returns whether it is one of these."""
        if id_ in self._due_ms:
            self._due_ms[id_] = due_ms
        return id_ in self._due_ms

    def all_due(self) -> None:
        """The link is gone, and with it whatever was on its way."""
        self._due_ms = dict.fromkeys(self._due_ms, 0)

    def due(self, now_ms: int, again_ms: int) -> list[tuple[str, CommandStatus]]:
        """Those that may go now; they are not due again before ``again_ms``."""
        ready = [id_ for id_, due_ms in self._due_ms.items() if due_ms <= now_ms]
        self._due_ms.update(dict.fromkeys(ready, again_ms))
        return [(id_, self._reports[id_]) for id_ in ready]
