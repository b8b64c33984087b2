"""What `vpp doctor` found on this machine, and its settings, as tables for a terminal."""

from rich.markup import escape
from rich.table import Table

from vpp_streams.cli.screens.tables import console, print_table
from vpp_streams.local.machine_check import Check
from vpp_streams.settings import Settings


def print_checks(checks: list[Check]) -> None:
    """Print each check, and what is missing."""
    table = Table(box=None, pad_edge=False)
    for column in ("", "check", "found", "how to get it"):
        table.add_column(column, overflow="fold")
    for check in checks:
        mark = "[green]ok[/]" if check.ok else "[red]no[/]" if check.needed else "[yellow]--[/]"
        remedy = "" if check.ok else check.get_it
        table.add_row(mark, check.name, escape(check.found), escape(remedy))
    shown = console()
    shown.print(table)
    missing = [check.name for check in checks if check.needed and not check.ok]
    shown.print(f"[red]missing: {', '.join(missing)}[/]" if missing else "[green]ready: vpp up[/]")


def print_settings(settings: Settings) -> None:
    """Print each setting with its value and meaning."""
    table = Table(box=None, pad_edge=False)
    for column in ("variable", "value", "meaning"):
        table.add_column(column, overflow="fold")
    for name, field in type(settings).model_fields.items():
        value = str(getattr(settings, name))
        table.add_row(f"VPP_{name.upper()}", escape(value), escape(field.description or ""))
    print_table(table)
