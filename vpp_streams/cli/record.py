"""``vpp record``: canonical telemetry to Parquet."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from vpp_streams.settings import load_settings


def record(
    directory: Annotated[Path, typer.Argument(help="created if it does not exist, else continued")],
    from_beginning: Annotated[
        bool,
        typer.Option(
            "--from-beginning",
            help="begin with the oldest reading in Kafka, not with the next one",
        ),
    ] = False,
    until_end: Annotated[
        bool, typer.Option("--until-end", help="stop once all present readings are recorded")
    ] = False,
) -> None:
    """Record canonical telemetry as Parquet, by date and hour (UTC) of its arrival.

    Any Parquet tool reads the directory, for example pandas.read_parquet(DIRECTORY); `vpp replay`
    plays it again. Ctrl-C saves the recording and stops. Started again with the same directory, it
    continues where it stopped; even after a kill, nothing is lost or recorded twice.
    """
    from vpp_streams.cli.screens.record_progress import print_counters, recording_progress
    from vpp_streams.replay.recorder import record_until_signal

    with recording_progress() as show:
        counters = asyncio.run(
            record_until_signal(
                load_settings(),
                directory,
                from_beginning=from_beginning,
                until_end=until_end,
                on_progress=show,
            )
        )
    print_counters(counters, directory)
