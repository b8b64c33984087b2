"""Reports of the processes, added up: totals that never fall, rates, and silent processes."""

from collections import Counter, defaultdict, deque
from dataclasses import dataclass, field

from schemas.health import Health
from vpp_streams.serving.views import ProcessView, Totals

STALE_MS = 10_000
_RATE_SPAN_MS = 10_000
_MAX_PROCESSES = 500
_LAG_ROLES = ("ingest", "fleet", "region")
_LAG_ROLES_OF_FLOW = ("flow", "region")
"""Where one worker does both halves of a partition."""
_SOURCES = {
    "readings_in": (("gateway", "readings_in"), ("gateway", "backfill_in")),
    "canonical": (("ingest", "canonical"), ("flow", "canonical")),
    "rejected": (("ingest", "rejected"), ("flow", "rejected")),
    "windows_closed": (("fleet", "windows_closed"), ("flow", "windows_closed")),
}


_COUNTED = {source for sources in _SOURCES.values() for source in sources}
_MOST = 2**53
"""Largest count: a JSON number beyond is not exact, and a broken report may contain any."""


@dataclass(slots=True)
class _Process:
    health: Health
    received_ms: int
    recent: deque[tuple[int, dict[str, int]]] = field(default_factory=deque)

    def rates_per_s(self) -> dict[str, float]:
        (first_ms, first), (last_ms, last) = self.recent[0], self.recent[-1]
        if last_ms <= first_ms:
            return {}
        span_s = (last_ms - first_ms) / 1000
        return {name: (n - first.get(name, 0)) / span_s for name, n in last.items()}


class Pipeline:
    """The newest `Health` of each process, and the sums of their counters by role."""

    def __init__(self) -> None:
        self._processes: dict[str, _Process] = {}
        self._totals: Counter[tuple[str, str]] = Counter()

    def apply(self, health: Health, now_ms: int) -> None:
        """Apply a process's report, in the order of the log."""
        known = self._processes.get(health.process_id)
        same_run = known is not None and known.health.started_at_ms == health.started_at_ms
        # Totals grow by the increase in each report, so a process that starts again (with a new id
        # or with counters from zero) reduces nothing.
        before = known.health.counters if known is not None and same_run else {}
        for name, count in health.counters.items():
            if (health.role, name) in _COUNTED:
                self._totals[health.role, name] += max(0, count - before.get(name, 0))
        process = known if known is not None and same_run else _Process(health, now_ms)
        process.health, process.received_ms = health, now_ms
        if process.recent and process.recent[-1][0] > health.at_ms:
            process.recent.clear()  # its clock was set back
        process.recent.append((health.at_ms, health.counters))
        while process.recent[0][0] < health.at_ms - _RATE_SPAN_MS:
            process.recent.popleft()
        self._processes[health.process_id] = process
        self._drop_oldest()

    def totals(self, now_ms: int) -> Totals:
        """The pipeline's counts since each process started, and its connections and lag now."""
        counts = {
            name: min(_MOST, sum(self._totals[source] for source in sources))
            for name, sources in _SOURCES.items()
        }
        return Totals(
            devices_connected=self._gauge("gateway", "connections", now_ms),
            lag=sum(self.lag_by_role(now_ms).values()),
            **counts,
        )

    def lag_by_role(self, now_ms: int) -> dict[str, int]:
        """Number of Kafka records still to be read, by role, of the processes that report."""
        flows = any(p.health.role == "flow" for p in self._reporting(now_ms))
        roles = _LAG_ROLES_OF_FLOW if flows else _LAG_ROLES
        return {role: self._gauge(role, "lag", now_ms) for role in roles}

    def rates_per_s(self, now_ms: int) -> dict[str, float]:
        """Increase per second of each count in `totals`."""
        rates: defaultdict[tuple[str, str], float] = defaultdict(float)
        for process in self._reporting(now_ms):
            for name, rate in process.rates_per_s().items():
                rates[process.health.role, name] += rate
        return {
            name: round(sum(rates[source] for source in sources), 3)
            for name, sources in _SOURCES.items()
        }

    def processes(self, now_ms: int) -> list[ProcessView]:
        """Every known process, by role and id."""
        return [
            ProcessView(
                process_id=p.health.process_id,
                role=p.health.role,
                state="stale" if _is_stale(p, now_ms) else "running",
                started_at_ms=p.health.started_at_ms,
                heard_ago_s=max(0, now_ms - p.received_ms) / 1000,
                counters=p.health.counters,
                rates_per_s={} if _is_stale(p, now_ms) else p.rates_per_s(),
                gauges=p.health.gauges,
            )
            for p in sorted(
                self._processes.values(), key=lambda p: (p.health.role, p.health.process_id)
            )
        ]

    def _reporting(self, now_ms: int) -> list[_Process]:
        return [p for p in self._processes.values() if not _is_stale(p, now_ms)]

    def _gauge(self, role: str, name: str, now_ms: int) -> int:
        reporting = self._reporting(now_ms)
        total = sum(p.health.gauges.get(name, 0.0) for p in reporting if p.health.role == role)
        return int(max(-_MOST, min(_MOST, total)))

    def _drop_oldest(self) -> None:
        if len(self._processes) > _MAX_PROCESSES:
            oldest = min(self._processes, key=lambda key: self._processes[key].received_ms)
            del self._processes[oldest]


def _is_stale(process: _Process, now_ms: int) -> bool:
    return now_ms - process.received_ms > STALE_MS
