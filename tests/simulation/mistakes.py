"""Faults put in on purpose: a simulation that does not find them is worth nothing."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from unittest.mock import patch

from aiokafka import ConsumerRecord, TopicPartition

import agents.fleet
from tables.echoes import Echoes
from tests.simulation.producer import SimProducer
from vpp_streams.kafka import topics


@contextmanager
def ack_too_early() -> Iterator[None]:
    """The producer says that a raw frame is stored when it has only taken it in."""
    SimProducer.answers_early = {
        topic.full("sim") for topic in (*topics.LIVE_RAW, topics.RAW_BACKFILL)
    }
    try:
        yield
    finally:
        SimProducer.answers_early = set()


@contextmanager
def no_fence() -> Iterator[None]:
    """Every producer has a transactional id of its own: none keeps its predecessor from writing."""
    SimProducer.without_fence = True
    try:
        yield
    finally:
        SimProducer.without_fence = False


@contextmanager
def no_bound() -> Iterator[None]:
    """A fleet worker believes every clock, whatever the broker has stamped."""
    read_frame = agents.fleet.read_frame
    agents.fleet.read_frame = lambda record: replace(read_frame(record), record_time_ms=None)
    try:
        yield
    finally:
        agents.fleet.read_frame = read_frame


@contextmanager
def no_gap() -> Iterator[None]:
    """What a worker wrote follows what it has read, whatever others wrote in between."""
    from_ = Echoes.from_

    def all_newer(self: Echoes, tp: TopicPartition, offset: int) -> list[ConsumerRecord]:
        first = self.first(tp)
        return from_(self, tp, offset if first is None else max(offset, first))

    with patch.object(Echoes, "from_", all_newer):
        yield


MISTAKES = {
    "": nullcontext,
    "ack_too_early": ack_too_early,
    "no_fence": no_fence,
    "no_bound": no_bound,
    "no_gap": no_gap,
}


def mistake(name: str) -> AbstractContextManager[None]:
    """One of `MISTAKES`, during the block."""
    return MISTAKES[name]()
