"""``vpp web``: the API and the dashboard."""

import asyncio
from typing import Annotated

import typer

from vpp_streams.settings import load_settings


def web(
    port: Annotated[
        int | None, typer.Option(help="port of the API and the dashboard", min=0, max=65535)
    ] = None,
) -> None:
    """Serve the dashboard, the JSON API (/docs) and the live stream, from the output topics.

    Start any number of them: each has a read model of its own.
    """
    from vpp_streams.process.lean_arrow import use_arrow_without_pandas
    from vpp_streams.process.logs import set_up_logs
    from vpp_streams.web.server import serve_web

    settings = load_settings(web_port=port)
    set_up_logs(settings)
    use_arrow_without_pandas()
    asyncio.run(serve_web(settings))
