"""Traces, from a device's message to its region and from a request to its setpoint."""

from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tests.simulation.patches import simulated
from tests.simulation.tracing import whole_loop
from tests.simulation.world import World
from vpp_streams.kafka import tracing


@pytest.fixture
def exporter() -> Iterator[InMemorySpanExporter]:
    """Spans of everything that is traced during the test: here, every frame and request."""
    kept, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    tracing.begin(provider.get_tracer("test"), 1.0)
    yield kept
    tracing.end()


def paths(spans: tuple[ReadableSpan, ...]) -> set[tuple[str, ...]]:
    """The names of each span and of those above it, the first one first."""
    by_id = {span.context.span_id: span for span in spans}

    def path(span: ReadableSpan) -> tuple[str, ...]:
        above = by_id.get(span.parent.span_id) if span.parent else None
        return (*(path(above) if above else ()), span.name)

    return {path(span) for span in spans}


def test_a_message_and_a_request_are_followed_to_their_ends(
    exporter: InMemorySpanExporter,
) -> None:
    reading = (
        "write raw.powerwall",
        "ingest",
        "fleet: apply a frame",
        "fleet: share of regions",
        "region: receive a share",
    )
    setpoint = (
        "write dispatch.targets",
        "region: receive a request",
        "region: order",
        "fleet: receive an order",
        "fleet: setpoints",
        "gateway: send setpoints",
    )
    with simulated() as use:
        world = World(1)
        use(world)
        world.loop.run_until_complete(
            whole_loop(world, lambda: {reading, setpoint} <= paths(exporter.get_finished_spans()))
        )
        world.loop.dispose()
    spans = exporter.get_finished_spans()
    of_setpoints = [s for s in spans if s.name == "gateway: send setpoints"]
    requests = [s for s in spans if s.name == "write dispatch.targets"]
    assert {s.context.trace_id for s in of_setpoints} <= {s.context.trace_id for s in requests}
    orders = [s for s in spans if s.name == "region: order"]
    assert len(orders) <= 3, "the first orders of a request, and not those that repeat them"


@pytest.mark.parametrize("header", [b"", b"\xff\xfe", b"00-0-0-00", b"x" * 1000])
def test_a_header_that_is_none_is_not_followed(
    exporter: InMemorySpanExporter, header: bytes
) -> None:
    with tracing.handling("ingest", {tracing.HEADER: header}):
        assert tracing.here() is None
    assert not exporter.get_finished_spans()


def test_what_is_not_sampled_has_no_header_and_no_span(exporter: InMemorySpanExporter) -> None:
    tracing.begin(TracerProvider().get_tracer("test"), 0.0)
    trace = tracing.outgoing("raw.powerwall")
    assert trace is not None
    assert trace.header is None


def test_topics_in_the_middle_begin_no_trace(exporter: InMemorySpanExporter) -> None:
    trace = tracing.outgoing("telemetry")
    assert trace is not None
    assert trace.header is None


def test_a_process_that_traces_nothing_does_nothing() -> None:
    assert tracing.outgoing("raw.powerwall") is None
    with tracing.handling(
        "ingest", {tracing.HEADER: b"00-" + b"1" * 32 + b"-" + b"2" * 16 + b"-01"}
    ):
        assert tracing.here() is None
