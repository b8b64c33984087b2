"""Devices' frequency response, for a terminal and as JSON."""

import json
from collections.abc import Mapping
from dataclasses import asdict

import typer
from rich.table import Table

from vpp_streams.cli.screens.tables import print_table
from vpp_streams.domain.control.frequency_response import Response


def show_responses(region: str, found: Mapping[str, Response], as_json: bool) -> None:
    """Print each device's response, by its id."""
    if as_json:
        typer.echo(json.dumps({name: asdict(response) for name, response in found.items()}))
    elif not found:
        typer.echo(f"the frequency of {region} stayed within the dead band")
    else:
        print_table(_table_of(found))


def _table_of(found: Mapping[str, Response]) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in ("device", "samples", "setpoint W", "required W", "delivered W", "share"):
        table.add_column(column, justify="left" if column == "device" else "right")
    for name, response in found.items():
        table.add_row(
            name,
            f"{response.samples}",
            f"{response.setpoint_w:,.0f}",
            f"{response.expected_w:+,.0f}",
            f"{response.delivered_w:+,.0f}",
            f"{response.share:.0%}",
        )
    expected = sum(r.expected_w for r in found.values())
    delivered = sum(r.delivered_w for r in found.values())
    total = f"{expected:+,.0f}", f"{delivered:+,.0f}", f"{delivered / expected:.0%}"
    devices = "1 device" if len(found) == 1 else f"{len(found)} devices"
    table.add_row(devices, "", "", *total, style="bold")
    return table
