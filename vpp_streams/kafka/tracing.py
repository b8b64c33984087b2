"""Traces through Kafka: which records a device's message, or a request for power, led to.

A sampled record has the W3C header ``traceparent``. Who handles it does so inside of a span of the
same trace, and the records that are written meanwhile have the header again. One frame in many is
sampled, where the log of a trace begins (`ROOTS`): the other records have no header, no span, and
cost one comparison. Off unless `begin` was called.
"""

import random
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from opentelemetry import trace
from opentelemetry.trace import SpanKind, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

HEADER = "traceparent"
ROOTS = frozenset({"raw.powerwall", "raw.solar", "raw.megapack", "dispatch.targets"})
"""Topics whose records begin a trace, unless something else has begun it."""

_PROPAGATOR = TraceContextTextMapPropagator()
_NOTHING: AbstractContextManager[None] = nullcontext()


class _Active:
    """What is sampled, and who makes the spans."""

    def __init__(self, tracer: Tracer, share: float) -> None:
        self.tracer = tracer
        self.share = share


_active: _Active | None = None


def begin(tracer: Tracer, share: float) -> None:
    """Trace this share of the records of `ROOTS`, 0..1, and all that they lead to."""
    global _active  # noqa: PLW0603  # a process traces or does not, as it logs or does not
    _active = _Active(tracer, share)


def end() -> None:
    """Trace nothing more."""
    global _active  # noqa: PLW0603  # as above
    _active = None


def handling(
    name: str, headers: Mapping[str, bytes] | Iterable[tuple[str, bytes]] | None
) -> AbstractContextManager[None]:
    """A span around the handling of a record with these headers, if it is traced."""
    if _active is None or not headers:
        return _NOTHING
    return following(name, dict(headers).get(HEADER))


def following(name: str, parent: bytes | None) -> AbstractContextManager[None]:
    """A span that continues a trace from a value of the header; None = it is not traced."""
    if _active is None or parent is None:
        return _NOTHING
    return _span(_active, name, parent)


@contextmanager
def _span(active: _Active, name: str, parent: bytes) -> Iterator[None]:
    # A header that is none gives no context, and then nothing is traced.
    context = _PROPAGATOR.extract({HEADER: parent.decode(errors="replace")})
    if not trace.get_current_span(context).get_span_context().is_valid:
        yield
        return
    with active.tracer.start_as_current_span(name, context, kind=SpanKind.CONSUMER):
        yield


def here() -> bytes | None:
    """The header's value for what this code leads to; None where it is not traced."""
    if _active is None or trace.get_current_span() is trace.INVALID_SPAN:
        return None
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier)
    found = carrier.get(HEADER)
    return None if found is None else found.encode()


class Outgoing:
    """The trace of a record that is written: its header, and the end of its span."""

    def __init__(self, topic: str) -> None:
        self._span: trace.Span | None = None
        self.header = here()
        if self.header is None and _active is not None and topic in ROOTS:
            self.header = self._sampled(_active, topic)

    def _sampled(self, active: _Active, topic: str) -> bytes | None:
        if random.random() >= active.share:
            return None
        self._span = active.tracer.start_span(f"write {topic}", kind=SpanKind.PRODUCER)
        with trace.use_span(self._span):
            return here()

    def until(self, sent: Any) -> None:
        """End the span once Kafka has the record."""
        if (span := self._span) is not None:
            sent.add_done_callback(lambda _done: span.end())


def outgoing(topic: str) -> Outgoing | None:
    """The trace of a record of a topic; None where this process traces nothing."""
    return None if _active is None else Outgoing(topic)
