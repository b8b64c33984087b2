"""``vpp replay``: a recording, or a CSV of a recorded home, as telemetry."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from vpp_streams.errors import InputError
from vpp_streams.settings import load_settings


def replay(
    source: Annotated[
        Path, typer.Argument(help="a directory of `vpp record`, a Parquet file, or a home's CSV")
    ],
    namespace: Annotated[
        str, typer.Option(help="an unused namespace for it, for example replay-1")
    ],
    speed: Annotated[
        str,
        typer.Option(help="60 = a minute of data per second; max = as fast as Kafka accepts it"),
    ] = "max",
    mapping: Annotated[
        Path | None, typer.Option(help="meaning of the CSV's columns: docs/examples/mappings/")
    ] = None,
    from_: Annotated[
        str | None, typer.Option("--from", help="only readings measured from this time on (UTC)")
    ] = None,
    to: Annotated[
        str | None, typer.Option("--to", help="only readings measured before this time (UTC)")
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="replay nothing if the CSV has a bad row")
    ] = False,
) -> None:
    """Play recorded readings again, in their own time, as canonical telemetry.

    The replay has a namespace of its own; run workers in it to process it:

      vpp replay home.csv --mapping emhass.yaml --namespace replay-1

      VPP_NAMESPACE=replay-1 vpp worker fleet

    Everything runs on the data's own time: the frames, and the workers' results, are the same
    byte for byte at any speed. The sites of the recording (or of the mapping) are imported. A CSV
    is never repaired: missing values, and each row that cannot be read, are printed first.
    """
    from vpp_streams.cli.screens.home_report import print_report
    from vpp_streams.cli.screens.replay_progress import print_played, progress_of
    from vpp_streams.domain.files.spoken_time import utc_ms
    from vpp_streams.replay.opening import open_source, speed_of
    from vpp_streams.replay.replay import Pacer
    from vpp_streams.replay.replay import replay as play
    from vpp_streams.replay.sources import Span

    span = Span(utc_ms("--from", from_), utc_ms("--to", to))
    pacer = Pacer(speed_of(speed))
    if not namespace:
        raise InputError("--namespace must not be empty: the empty one is the live system")
    settings = load_settings(namespace=namespace)
    found = open_source(source, mapping, span, strict=strict, on_report=print_report)
    try:
        with progress_of(found) as progress:
            asyncio.run(play(settings, found, pacer, progress.show))
    except KeyboardInterrupt:
        typer.echo(f"stopped; namespace {namespace} has the part played so far", err=True)
        raise typer.Exit(130) from None
    print_played(progress, namespace)
