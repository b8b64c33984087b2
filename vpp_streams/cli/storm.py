"""``vpp storm``: announce a storm, so that batteries are full before it."""

from typing import TYPE_CHECKING, Annotated

import typer

from vpp_streams.errors import InputError
from vpp_streams.settings import load_settings

if TYPE_CHECKING:
    from vpp_streams.cli.api_client import ApiClient


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
    from vpp_streams.cli.dispatch import print_json, span
    from vpp_streams.web.control_views import Ordered

    with ApiClient(load_settings()) as api:
        if cancel is not None:
            ordered = api.order(f"alerts/{quote(cancel, safe='')}/cancel", {}, Ordered)
        elif region or site:
            order = {"regions": region or [], "site_ids": site or []}
            ordered = api.order("alerts", {**order, **span(lasts, at, starts_in)}, Ordered)
        elif lasts or at or starts_in:
            raise InputError("where? give --region REGION or --site SITE")
        else:
            _print_storms(api, as_json)
            return
    id_ = ordered.request_id
    if as_json:
        print_json(ordered)
    elif cancel is not None:
        typer.echo(f"{id_} is cancelled")
    else:
        typer.echo(f"{id_} is announced; cancel it with: vpp storm --cancel {id_}")


def _print_storms(api: "ApiClient", as_json: bool) -> None:
    """Print the expected storms, and the cost of those for complete regions."""
    from urllib.parse import quote

    from vpp_streams.cli.dispatch import print_json
    from vpp_streams.cli.screens.dispatch_view import clock
    from vpp_streams.domain.control.storms import sentence
    from vpp_streams.web.control_views import AlertList, DispatchView

    ahead = api.get("alerts", AlertList)
    if as_json:
        print_json(ahead)
        return
    for alert in ahead.alerts:
        where = ", ".join((*alert.regions, *alert.site_ids))
        when = f"{clock(alert.starts_at_ms)}–{clock(alert.ends_at_ms)}"
        typer.echo(f"{alert.alert_id}  {where}  {when}  reserve {alert.reserve:.0%}")
    for name in sorted({region for alert in ahead.alerts for region in alert.regions}):
        status = api.get(f"regions/{quote(name, safe='')}/dispatch", DispatchView).now.status
        if status is not None and status.storm is not None:
            typer.echo(f"{name}: {sentence(status.storm)}")
    if not ahead.alerts:
        typer.echo("no storm is expected")
