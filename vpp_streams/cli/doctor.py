"""``vpp doctor``: what is missing on this machine, and how to get it."""

from typing import Annotated

import typer

from vpp_streams.settings import load_settings


def doctor(
    json: Annotated[bool, typer.Option("--json", help="one JSON document")] = False,
    show_settings: Annotated[
        bool, typer.Option("--settings", help="list every VPP_* setting with its value and exit")
    ] = False,
) -> None:
    """Check this machine: what is missing and how to get it. Exit code 1 if it is needed."""
    from vpp_streams.cli.screens.documents import print_json
    from vpp_streams.cli.screens.machine import print_checks, print_settings
    from vpp_streams.local.doctor import examine

    settings = load_settings()
    if show_settings:
        print_settings(settings)
        return
    checks = examine(settings)
    if json:
        print_json(checks)
    else:
        print_checks(checks)
    if any(check.needed and not check.ok for check in checks):
        raise typer.Exit(1)
