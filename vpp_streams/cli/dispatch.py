"""``vpp dispatch``: request power from a region, and watch the result."""

import math
from typing import Annotated

import typer

from vpp_streams.errors import InputError
from vpp_streams.settings import load_settings


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
    from vpp_streams.cli.region_requests import give_order, times_from_now, withdraw_request
    from vpp_streams.cli.screens.dispatch_watch import show_dispatch, watch_dispatch
    from vpp_streams.cli.screens.outcomes import show_order, show_withdrawal

    has_order = export_w is not None or self_consumption
    if has_order and withdraw is not None:
        raise InputError("give an order or --withdraw, not both")
    if self_consumption and export_w is not None:
        raise InputError("give --export-w or --self-consumption, not both")
    if export_w is not None and not math.isfinite(export_w):
        raise InputError(f"--export-w {export_w} is no power; give watts, for example 400000")
    if not has_order and withdraw is None and (lasts or at or starts_in):
        raise InputError("how much? give --export-w WATTS or --self-consumption")
    with ApiClient(load_settings()) as api:
        request_id = withdraw
        if withdraw is not None:
            show_withdrawal(withdraw_request(api, region, withdraw), withdraw, as_json)
        elif has_order:
            order = {
                "export_w": export_w,
                **times_from_now(lasts, at, starts_in),
                "best_effort": best_effort,
                "priority": "emergency" if emergency else "operator",
                "droop": {"nominal_hz": nominal_hz} if droop else None,
            }
            ordered = give_order(api, region, "targets", order)
            show_order(ordered, as_json)
            request_id = ordered.request_id
        if watch:
            watch_dispatch(api, region, request_id)
        elif request_id is None:
            show_dispatch(api, region, as_json)
