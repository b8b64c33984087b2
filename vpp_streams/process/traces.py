"""Sends the traces of a process to a collector (OTLP over HTTP), where the settings ask for it."""

from collections.abc import Iterator
from contextlib import contextmanager

from vpp_streams.errors import SettingsError
from vpp_streams.kafka import tracing
from vpp_streams.settings import Settings


@contextmanager
def tracing_role(settings: Settings, role: str) -> Iterator[None]:
    """Trace during the body, if ``VPP_TRACE_SAMPLE`` is not 0.

    The collector is where OpenTelemetry's own variables say (``OTEL_EXPORTER_OTLP_ENDPOINT``;
    localhost:4318 unless set). Raises `SettingsError` where the SDK is not installed.
    """
    if not settings.trace_sample:
        yield
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415  # an extra
            OTLPSpanExporter,
        )
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415  # an extra
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415  # an extra
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415  # an extra
    except ImportError:
        raise SettingsError(
            "VPP_TRACE_SAMPLE needs OpenTelemetry's SDK and its OTLP exporter:"
            " pip install 'vpp-streams[traces]', or unset it"
        ) from None
    resource = Resource.create(
        {"service.name": f"vpp-{role}", "service.namespace": settings.namespace or "vpp"}
    )
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    tracing.begin(provider.get_tracer("vpp_streams"), settings.trace_sample)
    try:
        yield
    finally:
        tracing.end()
        provider.shutdown()  # sends what waits
