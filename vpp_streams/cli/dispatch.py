"""``vpp dispatch``: request power from a region, and watch the result."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from vpp_streams import clock
from vpp_streams.errors import InputError
from vpp_streams.settings import load_settings

if TYPE_CHECKING:
    from vpp_streams.cli.api_client import ApiClient
    from vpp_streams.web.control_views import DispatchView, Ordered

_POLL_S = 1.0


def dispatch(
    region: Annotated[str, typer.Argument(help="region to dispatch")],
    export_w: Annotated[
        float | None,
        typer.Option(help="battery power in watts, + = discharge, negative = charge"),
    ] = None,
    self_consumption: Annotated[
        bool, typer.Option("--self-consumption", help="release the devices to self-consumption")
    ] = False,
    lasts: Annotated[str | None, typer.Option("--for", help="how long: 90s, 15m, 1h30m")] = None,
    at: Annotated[str | None, typer.Option(help="start at 18:00, or an ISO time")] = None,
    starts_in: Annotated[str | None, typer.Option(help="start in 10m")] = None,
    best_effort: Annotated[
        bool,
        typer.Option("--best-effort", help="accept it even if it is more than the region can hold"),
    ] = False,
    emergency: Annotated[
        bool, typer.Option("--emergency", help="above the market and other operators")
    ] = False,
    droop: Annotated[
        bool, typer.Option("--droop", help="arm frequency response while it applies")
    ] = False,
    nominal_hz: Annotated[
        float, typer.Option(help="with --droop: nominal frequency of the grid", min=40)
    ] = 60.0,
    watch: Annotated[bool, typer.Option("--watch", help="show the dispatch until it ends")] = False,
    withdraw: Annotated[str | None, typer.Option(metavar="ID", help="end this request")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON document")] = False,
) -> None:
    """Request power from a region's batteries, and print the outcome.

    \b
    vpp dispatch north --export-w 400000 --for 15m --watch
    vpp dispatch north --export-w -200000 --for 1h --at 02:00    charge by night
    vpp dispatch north --withdraw target-3f9a1c20b7              end it before its end
    vpp dispatch north                                           its present state
    """
    from vpp_streams.cli.api_client import ApiClient

    has_order = export_w is not None or self_consumption
    if has_order and withdraw is not None:
        raise InputError("give an order or --withdraw, not both")
    with ApiClient(load_settings()) as api:
        request_id = None
        if withdraw is not None:
            request_id = withdraw_request(api, region, withdraw, as_json)
        elif has_order:
            order = _order(export_w, self_consumption, lasts, at, starts_in)
            order |= {
                "best_effort": best_effort,
                "priority": "emergency" if emergency else "operator",
                "droop": {"nominal_hz": nominal_hz} if droop else None,
            }
            request_id = give_order(api, region, "targets", order, as_json)
        elif lasts or at or starts_in:
            raise InputError("how much? give --export-w WATTS or --self-consumption")
        if watch:
            _watch(api, region, request_id)
        elif request_id is None:
            _show(api, region, as_json)


def _order(
    export_w: float | None,
    self_consumption: bool,
    lasts: str | None,
    at: str | None,
    starts_in: str | None,
) -> dict[str, Any]:
    import math

    if self_consumption and export_w is not None:
        raise InputError("give --export-w or --self-consumption, not both")
    if export_w is not None and not math.isfinite(export_w):
        raise InputError(f"--export-w {export_w} is no power; give watts, for example 400000")
    return {"export_w": export_w, **span(lasts, at, starts_in)}


def span(lasts: str | None, at: str | None, starts_in: str | None) -> dict[str, Any]:
    """Start and end in the form of the API. Raises `InputError`."""
    from datetime import datetime, timedelta

    from vpp_streams.domain.files.spoken_time import duration_s, moment_ms

    if lasts is None:
        raise InputError("a request needs an end: give --for, for example --for 15m")
    if at is not None and starts_in is not None:
        raise InputError("give --at or --starts-in, not both")
    now = datetime.now().astimezone()
    try:
        times: dict[str, Any] = {"for_s": duration_s(lasts)}
        if starts_in is not None:
            start = now + timedelta(seconds=duration_s(starts_in))
            times["starts_at_ms"] = round(start.timestamp() * 1000)
        if at is not None:
            times["starts_at_ms"] = moment_ms(at, now)
    except (ValueError, OverflowError) as error:
        raise InputError(str(error)) from None
    return times


def give_order(
    api: "ApiClient", region: str, what: str, body: dict[str, Any], as_json: bool = False
) -> str:
    """Give an order for a region, print its outcome, and return the request's id."""
    from urllib.parse import quote

    from vpp_streams.web.control_views import Ordered

    ordered = api.order(f"regions/{quote(region, safe='')}/{what}", body, Ordered)
    reason = f": {ordered.reason}" if ordered.reason else ""
    by = f" (see {ordered.by})" if ordered.by and ordered.by not in ordered.reason else ""
    _print_outcome(ordered, f"{ordered.request_id} {ordered.state}{reason}{by}", as_json)
    return ordered.request_id


def withdraw_request(api: "ApiClient", region: str, request_id: str, as_json: bool = False) -> str:
    """Withdraw a request, print the outcome, and return its id."""
    from urllib.parse import quote

    from vpp_streams.web.control_views import Ordered

    path = f"regions/{quote(region, safe='')}/requests/{quote(request_id, safe='')}/withdraw"
    _print_outcome(api.order(path, {}, Ordered), f"{request_id} is withdrawn", as_json)
    return request_id


def _print_outcome(ordered: "Ordered", done: str, as_json: bool) -> None:
    if as_json:
        print_json(ordered)
    elif ordered.state == "written":
        typer.echo(f"{ordered.request_id} is written; no region worker has answered yet")
    else:
        typer.echo(done)


def dispatch_of(api: "ApiClient", region: str) -> "DispatchView":
    """The present dispatch of a region."""
    from urllib.parse import quote

    from vpp_streams.web.control_views import DispatchView

    return api.get(f"regions/{quote(region, safe='')}/dispatch", DispatchView)


def print_json(document: Any) -> None:
    """Print a document of the API as JSON."""
    import msgspec

    typer.echo(msgspec.json.format(msgspec.json.encode(document)).decode())


def _show(api: "ApiClient", region: str, as_json: bool) -> None:
    from rich.console import Console

    from vpp_streams.cli.screens.dispatch_view import screen

    view = dispatch_of(api, region)
    if as_json:
        print_json(view)
    else:
        Console().print(screen(view, None, clock.now_ms()))


def _watch(api: "ApiClient", region: str, request_id: str | None) -> None:
    """Show the dispatch until the request has ended, or until Ctrl-C."""
    import time

    from rich.console import Console
    from rich.live import Live

    from vpp_streams.cli.screens.dispatch_view import is_over, one_line, request_of, screen

    console = Console()
    try:
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
                    break
                time.sleep(_POLL_S)
    except KeyboardInterrupt:
        typer.echo(_after_watching(region, request_id))
        raise typer.Exit(0) from None
    reason = f": {request.reason}" if request.reason else ""
    typer.echo(f"{request_id} is {request.state}{reason}")


def _after_watching(region: str, request_id: str | None) -> str:
    if request_id is None:
        return "stopped watching; nothing else changed"
    return (
        f"stopped watching; the dispatch continues. End it with:"
        f" vpp dispatch {region} --withdraw {request_id}"
    )
