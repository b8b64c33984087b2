"""``vpp rpc``: the gRPC services."""

import asyncio
from typing import Annotated

import typer

from vpp_streams.settings import load_settings


def rpc(
    port: Annotated[
        int | None, typer.Option(help="port of the services (50051)", min=0, max=65535)
    ] = None,
) -> None:
    """Serve the fleet, regions, dispatch and markets as gRPC services, for other programs.

    The contracts are in proto/, docs/grpc.md shows how to call them. A call needs a token, as the
    HTTP API does. Start any number of them: each has a read model of its own.
    """
    from vpp_streams.process.lean_arrow import use_arrow_without_pandas
    from vpp_streams.process.logs import set_up_logs
    from vpp_streams.rpc.server import serve_rpc

    settings = load_settings(rpc_port=port)
    set_up_logs(settings)
    use_arrow_without_pandas()
    asyncio.run(serve_rpc(settings))
