"""Pages of a fleet worker: point queries of its tables, routed to the worker that holds them."""

import hmac
from collections.abc import Callable
from typing import Any

import faust
import msgspec
import structlog
from aiohttp import web as aiohttp
from faust.web import Request, Response, View

from agents.command import CommandAgent, Control
from agents.context import AgentContext
from agents.holders import Holders
from schemas.bounds import PARTITIONS
from tables.partitions import Partitions
from vpp_streams.domain.fleet.partition import FleetPartition
from vpp_streams.domain.registry.hashing import partition_of
from vpp_streams.settings import LOOPBACK, Settings

log = structlog.get_logger()

Answer = Callable[[FleetPartition, str, Request], dict[str, Any]]


def guard_pages(app: faust.App, settings: Settings) -> None:
    """Serve pages to clients with the service token; without one, to this machine by its name.

    The check of the name keeps out web pages whose own name resolves to our address.
    """
    secret = settings.service_token
    wanted = f"Bearer {secret.get_secret_value()}".encode() if secret else None
    if settings.pages_host != settings.host:
        log.warning(
            "the fleet worker's pages listen on loopback only: VPP_SERVICE_TOKEN is not set",
            host=settings.host,
        )

    @aiohttp.middleware
    async def checked(request: aiohttp.Request, handler: Callable[..., Any]) -> Any:
        if wanted is not None:
            given = request.headers.get("Authorization", "").encode(errors="replace")
            if not hmac.compare_digest(given, wanted):
                return aiohttp.json_response({"error": "the service token is missing"}, status=401)
        elif request.url.host not in (*LOOPBACK, settings.host):
            return aiohttp.json_response({"error": "this is another host"}, status=421)
        return await handler(request)

    app.web.web_app.middlewares.append(checked)


class FleetPages:
    """``/sites/{site_id}/twin`` and ``/sites/{site_id}/windows?size_s=60``."""

    def __init__(
        self,
        context: AgentContext,
        partitions: Partitions[FleetPartition],
        commands: CommandAgent,
        holders: Holders,
    ) -> None:
        self._context = context
        self._partitions = partitions
        self._commands = commands
        self._holders = holders

    def add_to(self, app: faust.App) -> None:
        """Serve the pages from a Faust app, to those who may read them."""
        guard_pages(app, self._context.settings)
        self._add(app, "/sites/{site_id}/twin", self._twin)
        self._add(app, "/sites/{site_id}/windows", _windows)

    def _add(self, app: faust.App, path: str, answer: Answer) -> None:
        @app.page(path)
        async def page(view: View, request: Request, site_id: str) -> Response:
            status, body = await self._answer(request, site_id, answer)
            return view.json(body, status=status)

    async def _answer(self, request: Request, site_id: str, answer: Answer) -> tuple[int, Any]:
        """The status and the body, from the worker that holds the site's partition."""
        number = partition_of(site_id, PARTITIONS)
        partition = self._partitions.get(number)
        if partition is None:
            detail = "no worker holds this site's partition yet; ask again in some seconds"
            return await self._holders.ask(number, request) or (503, {"error": detail})
        if self._context.registry.site(site_id) is None:
            return 404, {"error": f"there is no site {site_id!r}"}
        found = answer(partition, site_id, request)
        return 400 if "error" in found else 200, found

    def _twin(self, partition: FleetPartition, site_id: str, _request: Request) -> dict[str, Any]:
        control = self._commands.control(partition.partition)
        return _twin(partition, control, site_id, self._context.now_ms())


def _twin(
    partition: FleetPartition, control: Control | None, site_id: str, now_ms: int
) -> dict[str, Any]:
    """Reported: what each device measured last. Desired: the newest command, if there is one."""
    twins = partition.twins
    devices = [
        {
            **twins.describe(row),
            "desired": control.rows.describe(row, now_ms) if control else None,
        }
        for row in twins.rows_of_site(site_id)
    ]
    return {
        "site_id": site_id,
        "partition": partition.partition,
        "stream_time_ms": partition.clock.stream_time_ms,
        "commanded": control is not None,
        "devices": devices,
    }


def _windows(partition: FleetPartition, site_id: str, request: Request) -> dict[str, Any]:
    sizes = [size_ms // 1000 for size_ms in partition.policy.sizes_ms]
    asked = request.query.get("size_s", str(sizes[0]))
    if not asked.isdigit() or int(asked) not in sizes:
        return {"error": f"size_s is one of {sizes}, not {asked!r}"}
    records = partition.site_windows_now(site_id, int(asked) * 1000)
    return {"site_id": site_id, "windows": [msgspec.to_builtins(r) for r in records]}
