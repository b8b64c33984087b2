"""``vpp frequency``: set the simulated grid's frequency, and check the devices' response."""

from typing import Annotated

import typer

from vpp_streams import clock
from vpp_streams.errors import InputError
from vpp_streams.settings import Settings, load_settings

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

    from vpp_streams.cli.screens.responses import show_responses
    from vpp_streams.replay.frequency_proof import prove

    found = asyncio.run(prove(_settings(), region, minutes))
    if found is None:
        raise InputError(
            f"no device of {region!r} was armed in the last {minutes:g} min; arm them with"
            f" `vpp dispatch {region} --export-w W --for 15m --droop`"
        )
    show_responses(region, found, as_json)


def _settings() -> Settings:
    """The environment's settings, by default in the namespace of `vpp up` on this machine."""
    from vpp_streams.serving.operators import read_access

    settings = load_settings()
    access = read_access(settings.state_dir)
    if settings.namespace or access is None:
        return settings
    return settings.model_copy(update={"namespace": access.namespace})
