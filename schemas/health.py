"""The report that each process publishes once a second (topic ``health``, key process_id)."""

from collections.abc import Mapping
from typing import Annotated

import msgspec

from schemas.bounds import Count, EpochMs, Label, Number

DOES_ALSO: Mapping[str, tuple[str, ...]] = {"flow": ("ingest", "fleet")}
"""A role that does the work of others, which counts what they count."""


class Health(msgspec.Struct, frozen=True, omit_defaults=True):
    """One process's counters since it started, and its gauges now."""

    process_id: Label
    """``<role>-<host>-<pid>``"""
    role: Label
    at_ms: EpochMs
    started_at_ms: EpochMs
    counters: Annotated[dict[Label, Count], msgspec.Meta(max_length=1000)]
    """Monotone counts, for example ``readings_in``, ``rejected``, ``windows_closed``."""
    gauges: Annotated[dict[Label, Number], msgspec.Meta(max_length=1000)] = {}
    """Values now, for example ``connections``, ``lag``."""
