"""``vpp doctor``: what is missing on this machine, and how to get it."""

from typing import TYPE_CHECKING, Annotated

import typer

from vpp_streams.settings import Settings, load_settings

if TYPE_CHECKING:
    from vpp_streams.local.doctor import Check


def doctor(
    json: Annotated[bool, typer.Option("--json", help="one JSON document")] = False,
    show_settings: Annotated[
        bool, typer.Option("--settings", help="list every VPP_* setting with its value and exit")
    ] = False,
) -> None:
    """Check this machine: what is missing and how to get it. Exit code 1 if it is needed."""
    settings = load_settings()
    if show_settings:
        _print_settings(settings)
        return
    import msgspec

    from vpp_streams.local.doctor import examine

    checks = examine(settings)
    if json:
        typer.echo(msgspec.json.format(msgspec.json.encode(checks)).decode())
    else:
        _print_checks(checks)
    if any(check.needed and not check.ok for check in checks):
        raise typer.Exit(1)


def _print_checks(checks: "list[Check]") -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for column in ("", "check", "found", "how to get it"):
        table.add_column(column, overflow="fold")
    for check in checks:
        mark = "[green]ok[/]" if check.ok else "[red]no[/]" if check.needed else "[yellow]--[/]"
        remedy = "" if check.ok else check.get_it
        table.add_row(mark, check.name, escape(check.found), escape(remedy))
    console = Console()
    console.print(table)
    missing = [check.name for check in checks if check.needed and not check.ok]
    console.print(
        f"[red]missing: {', '.join(missing)}[/]" if missing else "[green]ready: vpp up[/]"
    )


def _print_settings(settings: Settings) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for column in ("variable", "value", "meaning"):
        table.add_column(column, overflow="fold")
    for name, field in type(settings).model_fields.items():
        value = str(getattr(settings, name))
        table.add_row(f"VPP_{name.upper()}", escape(value), escape(field.description or ""))
    Console().print(table)
