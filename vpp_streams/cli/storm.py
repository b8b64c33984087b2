"""``vpp storm``: announce a storm, so that batteries are full before it."""

from typing import Annotated

import typer

from vpp_streams.errors import InputError
from vpp_streams.settings import load_settings


def storm(
    region: Annotated[
        list[str] | None, typer.Option(help="an affected region (more than once)")
    ] = None,
    site: Annotated[
        list[str] | None, typer.Option(help="an affected site (more than once)")
    ] = None,
    lasts: Annotated[str | None, typer.Option("--for", help="how long: 6h, 1d")] = None,
    at: Annotated[str | None, typer.Option(help="it starts at 18:00, or an ISO time")] = None,
    starts_in: Annotated[str | None, typer.Option(help="it starts in 2h")] = None,
    cancel: Annotated[str | None, typer.Option(metavar="ID", help="cancel this one")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON document")] = False,
) -> None:
    """Announce a storm: batteries are filled from now on and kept for their owners until its end.

    Without options it lists the expected storms, and the cost of those for complete regions.
    """
    from urllib.parse import quote

    from vpp_streams.cli.api_client import ApiClient
    from vpp_streams.cli.region_requests import times_from_now
    from vpp_streams.cli.screens.storms import show_alert, show_storms
    from vpp_streams.serving.control_views import Ordered

    with ApiClient(load_settings()) as api:
        if cancel is not None:
            ordered = api.order(f"alerts/{quote(cancel, safe='')}/cancel", {}, Ordered)
        elif region or site:
            order = {"regions": region or [], "site_ids": site or []}
            ordered = api.order(
                "alerts", {**order, **times_from_now(lasts, at, starts_in)}, Ordered
            )
        elif lasts or at or starts_in:
            raise InputError("where? give --region REGION or --site SITE")
        else:
            show_storms(api, as_json)
            return
    show_alert(ordered, cancelled=cancel is not None, as_json=as_json)
