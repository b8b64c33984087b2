"""Announced storms for a terminal and as JSON."""

import typer

from vpp_streams.cli.api_client import ApiClient
from vpp_streams.cli.region_requests import dispatch_of
from vpp_streams.cli.screens.dispatch_view import clock
from vpp_streams.cli.screens.documents import print_json
from vpp_streams.domain.control.storms import sentence
from vpp_streams.serving.control_views import AlertList, Ordered


def show_alert(ordered: Ordered, *, cancelled: bool, as_json: bool) -> None:
    """Print that a storm is announced, or that it is cancelled."""
    id_ = ordered.request_id
    if as_json:
        print_json(ordered)
    elif cancelled:
        typer.echo(f"{id_} is cancelled")
    else:
        typer.echo(f"{id_} is announced; cancel it with: vpp storm --cancel {id_}")


def show_storms(api: ApiClient, as_json: bool) -> None:
    """Print the expected storms, and the cost of those for complete regions."""
    ahead = api.get("alerts", AlertList)
    if as_json:
        print_json(ahead)
        return
    for alert in ahead.alerts:
        where = ", ".join((*alert.regions, *alert.site_ids))
        when = f"{clock(alert.starts_at_ms)}–{clock(alert.ends_at_ms)}"
        typer.echo(f"{alert.alert_id}  {where}  {when}  reserve {alert.reserve:.0%}")
    for name in sorted({region for alert in ahead.alerts for region in alert.regions}):
        status = dispatch_of(api, name).now.status
        if status is not None and status.storm is not None:
            typer.echo(f"{name}: {sentence(status.storm)}")
    if not ahead.alerts:
        typer.echo("no storm is expected")
