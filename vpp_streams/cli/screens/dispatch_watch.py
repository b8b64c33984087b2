"""A region's dispatch, printed once or shown until its request has ended."""

import time

import typer
from rich.console import Console
from rich.live import Live

from vpp_streams import clock
from vpp_streams.cli.api_client import ApiClient
from vpp_streams.cli.region_requests import dispatch_of
from vpp_streams.cli.screens.dispatch_view import is_over, one_line, request_of, screen
from vpp_streams.cli.screens.documents import print_json
from vpp_streams.serving.control_views import RequestView

_POLL_S = 1.0


def show_dispatch(api: ApiClient, region: str, as_json: bool) -> None:
    """Print the present dispatch of a region."""
    view = dispatch_of(api, region)
    if as_json:
        print_json(view)
    else:
        Console().print(screen(view, None, clock.now_ms()))


def watch_dispatch(api: ApiClient, region: str, request_id: str | None) -> None:
    """Show the dispatch until the request has ended, or until Ctrl-C, which ends only this."""
    try:
        request = _show_until_over(api, region, request_id)
    except KeyboardInterrupt:
        typer.echo(_after_watching(region, request_id))
        raise typer.Exit(0) from None
    reason = f": {request.reason}" if request.reason else ""
    typer.echo(f"{request_id} is {request.state}{reason}")


def _show_until_over(api: ApiClient, region: str, request_id: str | None) -> RequestView:
    """Show the dispatch, again each second; returns the request once it is over."""
    console = Console()
    with Live(console=console, auto_refresh=False) as live:
        while True:
            view = dispatch_of(api, region)
            now_ms = clock.now_ms()
            if console.is_terminal:
                live.update(screen(view, request_id, now_ms), refresh=True)
            else:
                typer.echo(one_line(view, request_id, now_ms))
            request = request_of(view, request_id)
            if request is not None and is_over(request):
                return request
            time.sleep(_POLL_S)


def _after_watching(region: str, request_id: str | None) -> str:
    if request_id is None:
        return "stopped watching; nothing else changed"
    return (
        f"stopped watching; the dispatch continues. End it with:"
        f" vpp dispatch {region} --withdraw {request_id}"
    )
