"""``vpp incidents``: what needs a person's attention, and who is notified of it."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from vpp_streams.errors import InputError
from vpp_streams.settings import load_settings

app = typer.Typer(
    help="Incidents: watch the system by rules, notify people, list and acknowledge.",
    no_args_is_help=True,
)


@app.command()
def run() -> None:
    """Watch the system by the rules of VPP_INCIDENTS, and notify its channels.

    Without that file, the rules that are shipped apply and nobody is notified. One such process a
    namespace; `vpp up` starts it. Ctrl-C stops it; open incidents continue when it runs again.
    """
    import uvloop

    from vpp_streams.incidents.process import run_incidents
    from vpp_streams.process.logs import set_up_logs

    settings = load_settings()
    set_up_logs(settings)
    uvloop.run(run_incidents(settings))


@app.command("list")
def list_(
    all_: Annotated[bool, typer.Option("--all", help="closed ones too")] = False,
    region: Annotated[str | None, typer.Option(help="only those of a region")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON document")] = False,
) -> None:
    """List incidents, the open ones first, with who attends to them."""
    from vpp_streams.cli.api_client import ApiClient
    from vpp_streams.cli.screens.documents import print_json
    from vpp_streams.cli.screens.incidents import print_incidents
    from vpp_streams.web.incident_views import IncidentList

    with ApiClient(load_settings()) as api:
        state = None if all_ else "open"
        found = api.get("incidents", IncidentList, state=state, region=region)
    if as_json:
        print_json(found)
    else:
        print_incidents(found)


@app.command()
def ack(
    incident: Annotated[str, typer.Argument(help="its id, as `vpp incidents list` prints it")],
    note: Annotated[str, typer.Option(help="what is being done")] = "",
) -> None:
    """Acknowledge an incident: you attend to it, and nobody is notified of it any more."""
    from vpp_streams.cli.api_client import ApiClient
    from vpp_streams.web.incident_views import IncidentView

    with ApiClient(load_settings()) as api:
        body = {"incident_id": incident, "note": note}
        found = api.order("incidents/acknowledge", body, IncidentView)
    typer.echo(f"{found.incident_id}: acknowledged by {found.acknowledged_by}")


@app.command()
def kinds(
    example: Annotated[bool, typer.Option("--example", help="print a file of rules")] = False,
) -> None:
    """List what rules can measure, or print the rules that are shipped as an example."""
    from vpp_streams.domain.incidents.rules import KINDS
    from vpp_streams.incidents.rule_file import DEFAULT

    if example:
        typer.echo(DEFAULT.read_text(encoding="utf-8"), nl=False)
        return
    for name, kind in KINDS.items():
        typer.echo(f"{name:<17} {kind.unit:<6} {kind.of}")


@app.command()
def check(
    file: Annotated[Path | None, typer.Argument(help="default: the file of VPP_INCIDENTS")] = None,
) -> None:
    """Check a file of rules and channels, and say what it would do."""
    from vpp_streams.incidents.rule_file import read_rules

    found = read_rules(file or load_settings().incidents)
    for rule in found.rule:
        where = ", ".join(rule.regions) or "every region"
        typer.echo(f"{rule.id}: {rule.severity} where {rule.kind} > {rule.above:g} ({where})")
    for channel in found.channel:
        quiet = f", quiet {channel.quiet.begins} to {channel.quiet.ends}" if channel.quiet else ""
        typer.echo(f"channel {channel.id}: {', '.join(channel.severities)}{quiet}")
    if not found.channel:
        typer.echo("no [[channel]]: nobody is notified")


@app.command("test-channel")
def try_channel(
    channel: Annotated[str, typer.Argument(help="id of a channel in the file of VPP_INCIDENTS")],
    file: Annotated[Path | None, typer.Option(help="default: the file of VPP_INCIDENTS")] = None,
) -> None:
    """Send a test message to a channel, and say whether it was accepted."""
    from vpp_streams.incidents.notifier import deliver_by_apprise
    from vpp_streams.incidents.rule_file import read_rules

    found = read_rules(file or load_settings().incidents)
    chosen = [one for one in found.channel if one.id == channel]
    if not chosen:
        names = ", ".join(one.id for one in found.channel) or "none"
        raise InputError(f"there is no channel {channel!r}; the file has: {names}")
    text = "This is a test. Incidents are sent to this channel."
    reason = asyncio.run(deliver_by_apprise(chosen[0], "vpp_streams: test", text))
    if reason is not None:
        raise InputError(f"{reason}: check its url")
    typer.echo(f"channel {channel} accepted the message")
