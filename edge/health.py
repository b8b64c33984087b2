"""The agent's state on loopback: a page for people, ``/state.json``, and ``/metrics`` (Prometheus).

It is served by a thread of its own, which only reads. Nobody outside of the computer can reach it.
"""

import json
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from edge.agent import Agent
from edge.page import page_of
from edge.status import status_of

StartResponse = Callable[[str, list[tuple[str, str]]], Any]


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Log no request."""


class AgentMetrics(Collector):
    """An agent's counters and state as Prometheus metrics."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    def collect(self) -> Iterable[Metric]:
        """All metrics as they are now."""
        events = CounterMetricFamily("vpp_edge_events", "What happened, by kind.", labels=["event"])
        for name, count in sorted(dict(self._agent.counters).items()):
            events.add_metric([name], count)
        yield events
        for name, value in state_of(self._agent).items():
            if value is not None and not isinstance(value, str):
                yield GaugeMetricFamily(f"vpp_edge_{name}", name.replace("_", " "), float(value))


def state_of(agent: Agent) -> dict[str, float | str | None]:
    """The agent's state in words and numbers; None = not known."""
    held, ring = agent.inverter.held, agent.ring
    ends_ms = agent.setup.login.ends_ms
    return {
        "connected": float(agent.client is not None and agent.client.live),
        "link_trouble": agent.link_trouble,
        "driver_trouble": agent.calls.trouble,
        "login_trouble": agent.setup.login.trouble,
        "login_usable": float(not agent.setup.login.trouble),
        "certificate_ends_s": None if ends_ms is None else ends_ms / 1000,
        "readings_kept": float(len(ring)),
        "readings_dropped": float(ring.dropped),
        "readings_on_disk": float(ring.on_disk),
        "commanded_w": None if held is None else held.power_w,
        **{f"measured_{name}": value for name, value in agent.newest.items()},
    }


def _json_of(agent: Agent) -> bytes:
    status = status_of(agent)
    more = {"battery": status.battery, "measured_age_s": status.age_s, "troubles": status.troubles}
    counters = dict(sorted(dict(agent.counters).items()))
    return json.dumps({**state_of(agent), **more, "counters": counters}, indent=1).encode() + b"\n"


def app_of(agent: Agent) -> Callable[[dict[str, Any], StartResponse], list[bytes]]:
    """The WSGI application: the page, ``/state.json`` and ``/metrics``."""
    registry = CollectorRegistry()
    registry.register(AgentMetrics(agent))

    def app(environ: dict[str, Any], start: StartResponse) -> list[bytes]:
        status = "200 OK"
        match environ["PATH_INFO"]:
            case "/":
                body, kind = page_of(status_of(agent)).encode(), "text/html; charset=utf-8"
            case "/state.json":
                body, kind = _json_of(agent), "application/json"
            case "/metrics":
                body, kind = generate_latest(registry), CONTENT_TYPE_LATEST
            case _:
                status, kind = "404 Not Found", "text/plain; charset=utf-8"
                body = b"there are /, /state.json and /metrics\n"
        start(status, [("Content-Type", kind), ("Content-Length", str(len(body)))])
        return [body]

    return app


@contextmanager
def serving(agent: Agent, port: int) -> Iterator[int]:
    """Serve the agent's state on loopback during the body, which gets the port (0 = a free one)."""
    server = WSGIServer(("127.0.0.1", port), _Quiet)
    server.set_app(app_of(agent))
    thread = threading.Thread(target=server.serve_forever, name="health", daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
