"""How far a worker is behind its source topic."""

from collections.abc import Callable

import faust


def lag_of(app: faust.App, topic: str) -> Callable[[], float]:
    """A gauge: records of our partitions of ``topic`` that are in the log and were not read."""

    def lag() -> float:
        consumer = app.consumer
        behind = 0.0
        for tp in consumer.assignment():
            # Faust has no public way to ask for the read offset of a partition.
            read = consumer._read_offset.get(tp) if tp.topic == topic else None
            if read is not None:
                behind += max((consumer.highwater(tp) or 0) - read - 1, 0)
        return behind

    return lag
