"""The status port of a process: ``/livez``, ``/readyz`` and ``/metrics``.

It is served by threads of its own, so that a process whose event loop is stuck still says so. What
they tell is read on the event loop itself, as its state belongs to it: an answer that does not come
is the sign that the loop no longer turns.
"""

import asyncio
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeVar

import structlog
from prometheus_client.exposition import choose_encoder

from vpp_streams.errors import InputError
from vpp_streams.process.exposition import Exposition
from vpp_streams.process.health import HealthReporter
from vpp_streams.settings import Settings

T = TypeVar("T")
log = structlog.get_logger()

LOOP_S = 5.0
"""How long the event loop may take to answer before the process counts as not live."""
REQUEST_S = 5.0
"""How long a client may take to send its request."""
MOST_REQUESTS = 16
"""Requests answered at the same time; a further one is closed, so that no client takes threads
without end."""
PING_S = 0.5
"""How often the delay of the event loop is measured."""

Answer = tuple[int, str, bytes]
"""Status, content type and body."""


class LoopSilentError(Exception):
    """The event loop has not answered in time."""


class Status:
    """What the status port answers."""

    def __init__(
        self, health: HealthReporter, loop: asyncio.AbstractEventLoop, namespace: str
    ) -> None:
        self._health = health
        self._loop = loop
        self._exposition = Exposition(health, namespace)

    def livez(self) -> Answer:
        """200 while the process works; 503 with the reasons where a restart would help."""
        try:
            faults = self._on_loop(self._health.probes.faults)
        except LoopSilentError:
            faults = [f"the event loop did not answer within {LOOP_S:.0f} s"]
        return _json(503 if faults else 200, {"live": not faults, "faults": faults})

    def readyz(self) -> Answer:
        """200 once it may be given work; 503 with what it waits for."""
        probes = self._health.probes
        try:
            waits_for = self._on_loop(probes.waits_for)
        except LoopSilentError:
            waits_for = ["the event loop"]
        ready = not waits_for
        return _json(
            200 if ready else 503, {"ready": ready, "seat": probes.seat, "waits_for": waits_for}
        )

    def metrics(self, accept: str) -> Answer:
        """Every metric, in the format that the client prefers."""
        encode, kind = choose_encoder(accept)
        try:
            families = self._on_loop(self._exposition.read)
        except LoopSilentError:
            families = self._exposition.silent()
        return 200, kind, encode(self._exposition.gathered(families))

    def ping(self) -> None:
        """Measure how long the event loop takes to do what it is given."""
        began_s = time.monotonic()
        with suppress(LoopSilentError):
            self._on_loop(lambda: None)
        self._exposition.loop_took(time.monotonic() - began_s)

    def _on_loop(self, read: Callable[[], T]) -> T:
        """What a function returns when the event loop calls it. Raises `LoopSilentError`."""
        answer: Future[T] = Future()

        def call() -> None:
            try:
                answer.set_result(read())
            except BaseException as error:  # raised where it was called
                answer.set_exception(error)

        try:
            self._loop.call_soon_threadsafe(call)
        except RuntimeError:  # it is closed
            raise LoopSilentError from None
        try:
            return answer.result(LOOP_S)
        except TimeoutError:
            raise LoopSilentError from None


def _json(status: int, body: dict[str, Any]) -> Answer:
    return status, "application/json", json.dumps(body).encode() + b"\n"


class _Handler(BaseHTTPRequestHandler):
    timeout = REQUEST_S
    server: "_Server"

    def do_GET(self) -> None:
        """Answer one request."""
        try:
            code, kind, body = self._answer(self.server.status)
        except (
            Exception
        ) as error:  # a gauge that raises is our bug: it is said, here and in the log
            log.exception("the status of the process could not be read", path=self.path)
            code, kind, body = _json(500, {"error": repr(error)})
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _answer(self, status: Status) -> Answer:
        match self.path.partition("?")[0]:
            case "/livez":
                return status.livez()
            case "/readyz":
                return status.readyz()
            case "/metrics":
                return status.metrics(self.headers.get("Accept") or "")
            case _:
                return _json(404, {"error": "there are /livez, /readyz and /metrics"})

    def log_message(self, format: str, *args: Any) -> None:
        """Log no request: there is one every few seconds."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, host: str, port: int, status: Status) -> None:
        self.status = status
        self._room = threading.BoundedSemaphore(MOST_REQUESTS)
        if ":" in host:
            self.address_family = socket.AF_INET6
        super().__init__((host, port), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread, while there is room for one."""
        if self._room.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer, then make room."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Leave a client that went away alone."""


@contextmanager
def serving_status(
    settings: Settings,
    health: HealthReporter,
    loop: asyncio.AbstractEventLoop | None = None,
) -> Iterator[int | None]:
    """Serve the status port during the body, if the settings name one; yields the port.

    ``loop`` is the process's event loop (default: the one that runs), which may begin to run later.
    Raises `InputError` where the port cannot be used.
    """
    if settings.status_port is None:
        yield None
        return
    status = Status(health, loop or asyncio.get_running_loop(), settings.namespace)
    server = _listening(settings.status_host, settings.status_port, status)
    ended = threading.Event()

    def ping() -> None:
        while not ended.wait(PING_S):
            status.ping()

    threads = [
        threading.Thread(target=work, name=f"status-{work.__name__}", daemon=True)
        for work in (server.serve_forever, ping)
    ]
    for thread in threads:
        thread.start()
    try:
        yield server.server_port
    finally:
        ended.set()
        server.shutdown()
        server.server_close()


def _listening(host: str, port: int, status: Status) -> _Server:
    try:
        return _Server(host, port, status)
    except OSError as error:
        why = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
        raise InputError(
            f"cannot listen on {host} port {port} ({why}) for the status of this process; stop"
            " what uses it, or choose another with VPP_STATUS_PORT"
        ) from None
