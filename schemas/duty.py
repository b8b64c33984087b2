"""Which instance of a role works, of those that stand by (topic ``duty``, key role)."""

import msgspec

from schemas.bounds import Count, EpochMs, Label


class Duty(msgspec.Struct, frozen=True):
    """The instance on duty reports itself twice a second, and once more when it hands over."""

    role: Label
    process_id: Label
    """As in ``health``."""
    started_at_ms: EpochMs
    """When that process started: a process id can be used again."""
    term: Count
    """Number of the takeover; each is higher than the one before."""
    since_ms: EpochMs
    """When the instance took over."""
    at_ms: EpochMs
    released: bool = False
    """Whether it has ended its term: another instance may take over at once."""
