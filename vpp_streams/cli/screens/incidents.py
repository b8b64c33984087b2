"""Incidents as a table."""

from datetime import UTC, datetime

from rich.console import Console
from rich.table import Table

from vpp_streams.cli.screens.tables import print_table
from vpp_streams.web.incident_views import IncidentList, IncidentView


def print_incidents(found: IncidentList) -> None:
    """Print incidents, a row each; their full ids are in the last column."""
    if not found.incidents:
        print_line("no incident" if found.open == 0 else "no incident matches")
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("severity", "opened", "state", "evidence", "attended by", "id"):
        table.add_column(heading, no_wrap=heading == "id", overflow="fold")
    for one in found.incidents:
        table.add_row(
            one.severity,
            _time(one.opened_at_ms),
            "open" if one.closed_at_ms is None else f"closed {_time(one.closed_at_ms)}",
            one.evidence,
            one.acknowledged_by or "nobody",
            one.incident_id,
        )
    print_table(table)
    for line in _undelivered(found.incidents):
        print_line(line)
    if found.total > len(found.incidents):
        print_line(f"{found.total - len(found.incidents)} more are not shown")


def print_line(line: str) -> None:
    """Print a line as it is."""
    Console(soft_wrap=True).print(line, markup=False, highlight=False)


def _undelivered(incidents: list[IncidentView]) -> list[str]:
    return [
        f"not delivered: {one.incident_id} to {sent.channel}: {sent.reason}"
        for one in incidents
        for sent in one.notifications
        if not sent.delivered
    ]


def _time(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%m-%d %H:%M:%S UTC")
