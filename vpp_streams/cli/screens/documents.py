"""Documents as JSON, for programs."""

from typing import Any

import msgspec
import typer


def print_json(document: Any) -> None:
    """Print a document as indented JSON."""
    typer.echo(msgspec.json.format(msgspec.json.encode(document)).decode())
