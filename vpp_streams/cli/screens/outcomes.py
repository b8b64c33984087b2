"""Outcomes of orders for a terminal and as JSON."""

import typer

from vpp_streams.cli.screens.documents import print_json
from vpp_streams.serving.control_views import Ordered


def show_order(ordered: Ordered, as_json: bool) -> None:
    """Print the outcome of an order."""
    reason = f": {ordered.reason}" if ordered.reason else ""
    by = f" (see {ordered.by})" if ordered.by and ordered.by not in ordered.reason else ""
    _show(ordered, f"{ordered.request_id} {ordered.state}{reason}{by}", as_json)


def show_withdrawal(ordered: Ordered, request_id: str, as_json: bool) -> None:
    """Print the outcome of the withdrawal of a request."""
    _show(ordered, f"{request_id} is withdrawn", as_json)


def _show(ordered: Ordered, done: str, as_json: bool) -> None:
    if as_json:
        print_json(ordered)
    elif ordered.state == "written":
        typer.echo(f"{ordered.request_id} is written; no region worker has answered yet")
    else:
        typer.echo(done)
