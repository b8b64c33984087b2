"""What an import would change, and the question whether it may."""

import sys

import typer

from vpp_streams.domain.registry.import_plan import ImportPlan
from vpp_streams.errors import InputError


def in_numbers(plan: ImportPlan) -> str:
    """How many sites a plan adds, changes, leaves as they are and retires."""
    return (
        f"{len(plan.new)} sites new, {len(plan.changed)} changed,"
        f" {plan.unchanged} unchanged, {len(plan.retired)} retired"
    )


def agree_to_import(plan: ImportPlan, *, yes: bool) -> None:
    """Say what a plan creates and retires, and ask unless ``yes``.

    Raises `InputError` where the answer is no, or where there is no terminal to ask on.
    """
    lines = plan.consequences
    if yes or not lines:
        return
    if not sys.stdin.isatty():
        raise InputError(
            f"this import {' and '.join(lines)}; nothing was written: repeat it with --yes to agree"
        )
    typer.echo(in_numbers(plan))
    for line in lines:
        typer.echo(f"This import {line}.")
    if not typer.confirm("Continue?"):
        raise InputError("nothing was written")
