"""``vpp limit``: keep a region's grid connections within limits."""

import math
from typing import Annotated

import typer

from vpp_streams.errors import InputError
from vpp_streams.settings import load_settings


def limit(
    region: Annotated[str, typer.Argument(help="region to limit")],
    import_w: Annotated[
        float | None, typer.Option(help="most that its connections import together, W", min=0)
    ] = None,
    export_w: Annotated[
        float | None, typer.Option(help="most that its connections export together, W", min=0)
    ] = None,
    lasts: Annotated[str | None, typer.Option("--for", help="how long: 90s, 15m, 1h30m")] = None,
    feeder: Annotated[str | None, typer.Option(help="only the sites of this feeder")] = None,
    at: Annotated[str | None, typer.Option(help="start at 18:00, or an ISO time")] = None,
    starts_in: Annotated[str | None, typer.Option(help="start in 10m")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON document")] = False,
) -> None:
    """Keep the sum of a region's grid connections within limits, by its batteries.

    It outranks operators, the market and emergencies. `vpp dispatch REGION --withdraw ID` ends it.
    """
    from vpp_streams.cli.api_client import ApiClient
    from vpp_streams.cli.region_requests import give_order, times_from_now
    from vpp_streams.cli.screens.outcomes import show_order

    limits = {"import_limit_w": import_w, "export_limit_w": export_w}
    given = [watts for watts in limits.values() if watts is not None]
    if not given or not all(map(math.isfinite, given)):
        raise InputError("how much? give --import-w WATTS, --export-w WATTS or both")
    with ApiClient(load_settings()) as api:
        order = {**limits, "feeder": feeder, **times_from_now(lasts, at, starts_in)}
        show_order(give_order(api, region, "limits", order), as_json)
