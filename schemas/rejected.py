"""Dead letters of the topics that our own processes write (topic ``records.rejected``).

Readings from devices have a topic of their own, ``telemetry.rejected``.
"""

from typing import Annotated, Literal

import msgspec

from schemas.bounds import Count, EpochMs, Label, Offset, Sentence

MAX_KEPT_BYTES = 16 * 1024
"""How much of a refused record is kept; ``size`` is its full length."""
MAX_KEPT_KEY_BYTES = 256

RefusalReason = Literal[
    "unreadable",
    "invalid",
    "too_deep",
    "too_large",
    "empty",
    "wrong_partition",
    "refused",
    "apply_error",
]
"""``unreadable``: not in the topic's encoding. ``invalid``: against the contract or its bounds.
``too_deep``: nested deeper than can be read. ``too_large``: more than memory allows. ``empty``: no
value where a removal has no meaning. ``wrong_partition``: it belongs in another. ``refused``: its
content is impossible. ``apply_error``: applying it failed, which is a fault of ours."""


class RejectedRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Topic ``records.rejected``, key rejected_id: a refused record, with the reason."""

    rejected_id: Label
    """Deterministic: ``<topic>-<partition>-<offset>``; a record refused again has the same id."""
    source_topic: Label
    """Without the namespace."""
    source_partition: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
    source_offset: Offset
    written_at_ms: EpochMs
    """When the record was written, by Kafka's timestamp."""
    reason: RefusalReason
    detail: Sentence
    """One sentence for people."""
    process: Label
    """Process that refused it first."""
    at_ms: EpochMs
    """When it was refused."""
    size: Count
    """Length of the record's value, bytes."""
    key_base64: Annotated[str, msgspec.Meta(max_length=4 * (MAX_KEPT_KEY_BYTES // 3 + 1))]
    original_base64: Annotated[str, msgspec.Meta(max_length=4 * (MAX_KEPT_BYTES // 3 + 1))]
    """The first `MAX_KEPT_BYTES` bytes, unchanged."""
