"""A Kafka record for tests without Kafka."""

from dataclasses import dataclass


@dataclass
class Raw:
    """A record as a consumer gives it."""

    value: bytes | None
    partition: int = 0
    offset: int = 7
    timestamp: int = 1_763_855_000_000
    key: bytes | None = b"north"
    headers: tuple[tuple[str, bytes], ...] = ()
