"""Tables on a terminal, and complete in a pipe or a file."""

from rich.console import Console
from rich.table import Table

_WIDEST = 10_000
"""Columns where nobody sees an edge: no id is broken in two there."""


def console() -> Console:
    """As wide as the terminal; where the output is no terminal, as wide as a row."""
    shown = Console()
    return shown if shown.is_terminal else Console(width=_WIDEST)


def print_table(table: Table) -> None:
    """Print a table: within the width of a terminal, elsewhere a row a line."""
    console().print(table)
