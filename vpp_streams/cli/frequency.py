"""``vpp frequency``: set the simulated grid's frequency, and check the devices' response."""

from typing import TYPE_CHECKING, Annotated

import typer

from vpp_streams import clock
from vpp_streams.errors import InputError
from vpp_streams.settings import Settings, load_settings

if TYPE_CHECKING:
    from vpp_streams.domain.control.frequency_response import Response

app = typer.Typer(
    help="Frequency response: set the simulated grid's frequency, check the devices' response.",
    no_args_is_help=True,
)


@app.command("set")
def set_(
    region: Annotated[str, typer.Argument(help="region of the simulated fleet")],
    hz: Annotated[float, typer.Option(help="the frequency from now on", min=40, max=70)],
    seconds: Annotated[
        float, typer.Option("--for", help="seconds, then it is as before", min=1, max=3600)
    ] = 30.0,
) -> None:
    """Set the frequency that a region's simulated devices measure (topic `grid.frequency`).

    Devices respond if a dispatch has armed them: `vpp dispatch REGION --export-w W --for 15m
    --droop`.
    """
    import asyncio

    from schemas.grid import FrequencyEvent
    from vpp_streams.kafka import topics
    from vpp_streams.kafka.clients import KafkaClients
    from vpp_streams.kafka.outlet import write_one

    event = FrequencyEvent(
        region=region,
        hz=hz,
        at_ms=clock.now_ms(),
        for_ms=round(seconds * 1000),
        source="vpp frequency",
    )
    asyncio.run(write_one(KafkaClients(_settings()), topics.GRID_FREQUENCY, event))
    typer.echo(f"{region}: {hz:g} Hz for {seconds:g} s")


@app.command()
def proof(
    region: Annotated[str, typer.Argument(help="region to check")],
    minutes: Annotated[
        float, typer.Option("--last", help="minutes to look back", min=0.1, max=1440)
    ] = 10.0,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON document")] = False,
) -> None:
    """Required and delivered frequency response of each device in the last minutes of telemetry.

    A device is shown if its frequency left the dead band while it was armed. Its delivered power is
    the difference from its lease's setpoint, which the grid connection's limit can reduce.
    """
    import asyncio

    from vpp_streams.replay.frequency_proof import prove

    found = asyncio.run(prove(_settings(), region, minutes))
    if found is None:
        raise InputError(
            f"no device of {region!r} was armed in the last {minutes:g} min; arm them with"
            f" `vpp dispatch {region} --export-w W --for 15m --droop`"
        )
    if as_json:
        _print_json(found)
    else:
        _print_table(region, found)


def _settings() -> Settings:
    """The environment's settings, by default in the namespace of `vpp up` on this machine."""
    from vpp_streams.web.operators import read_access

    settings = load_settings()
    access = read_access(settings.state_dir)
    if settings.namespace or access is None:
        return settings
    return settings.model_copy(update={"namespace": access.namespace})


def _print_json(found: "dict[str, Response]") -> None:
    import json
    from dataclasses import asdict

    typer.echo(json.dumps({name: asdict(response) for name, response in found.items()}))


def _print_table(region: str, found: "dict[str, Response]") -> None:
    from rich.console import Console
    from rich.table import Table

    if not found:
        typer.echo(f"the frequency of {region} stayed within the dead band")
        return
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
    table.add_row(f"{len(found)} devices", "", "", *total, style="bold")
    Console().print(table)
