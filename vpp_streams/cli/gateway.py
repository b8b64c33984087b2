"""``vpp gateway``: the gateway for devices."""

import asyncio
import signal
from typing import Annotated

import typer

from schemas.bounds import GATEWAY_SLOTS
from vpp_streams.errors import InputError
from vpp_streams.settings import Settings, load_settings


def gateway(
    port: Annotated[
        int | None, typer.Option(help="port to listen on; 0 = any free one", min=0, max=65535)
    ] = None,
    slot: Annotated[
        int, typer.Option(help="partition of gateway.out that reaches this process's devices")
    ] = 0,
    share_port: Annotated[
        bool | None,
        typer.Option("--share-port", help="share it with other gateways of this namespace"),
    ] = None,
) -> None:
    """Run a gateway: devices connect to ws://HOST:PORT/v1/DEVICE_ID and send their readings.

    Start more on the same port to share its connections, all with --share-port and each with a
    --slot of its own. VPP_TLS_CERT turns TLS on, VPP_TLS_CLIENT_CA lets devices use a certificate
    instead of a token, VPP_TLS_CLIENT=required requires one; changed files are read again.
    Without TLS it listens on loopback only, unless VPP_GATEWAY_PLAIN=1.
    Ctrl-C stops it: what devices have sent is stored first, then they are requested to reconnect.
    """
    import uvloop

    from vpp_streams.process.lean_arrow import use_arrow_without_pandas
    from vpp_streams.process.logs import set_up_logs

    if not 0 <= slot < GATEWAY_SLOTS:
        raise InputError(f"--slot {slot}: choose one from 0 to {GATEWAY_SLOTS - 1}")
    settings = load_settings(gateway_port=port, gateway_share_port=share_port)
    set_up_logs(settings)
    use_arrow_without_pandas()
    uvloop.run(_run(settings, slot))


async def _run(settings: Settings, slot: int) -> None:
    import structlog

    from vpp_streams.gateway.server import running_gateway

    log = structlog.get_logger()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signal_ in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signal_, stop.set)
    async with running_gateway(settings, slot) as running:
        log.info(
            "gateway is listening",
            url=f"{'wss' if settings.tls_cert else 'ws'}://{settings.host}:{running.port}/v1/",
            slot=slot,
            devices=running.registry.device_count(),
        )
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({stopping, *running.background}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        for task in running.background:
            if task.done():
                task.result()  # it ends only with an error
        log.info("gateway is stopping", connections=int(running.health.gauges["connections"]()))
