"""What each process says of itself once a second (topic ``health``, key process_id)."""

import msgspec


class Health(msgspec.Struct, frozen=True, omit_defaults=True):
    """One process's counters since it started, and its gauges now."""

    process_id: str
    """``<role>-<host>-<pid>``"""
    role: str
    at_ms: int
    started_at_ms: int
    counters: dict[str, int]
    """Monotone counts, for example ``readings_in``, ``rejected``, ``windows_closed``."""
    gauges: dict[str, float] = {}
    """Values now, for example ``connections``, ``lag``."""
