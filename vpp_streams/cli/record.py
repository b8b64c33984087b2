"""``vpp record``: canonical telemetry to Parquet."""

from collections import Counter
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
    import asyncio

    asyncio.run(_record(directory, from_beginning, until_end))


async def _record(directory: Path, from_beginning: bool, until_end: bool) -> None:
    import asyncio
    import signal

    from rich.console import Console

    from vpp_streams.kafka import topics
    from vpp_streams.kafka.admin import ensure_topics
    from vpp_streams.kafka.clients import KafkaClients
    from vpp_streams.replay.recorder import record
    from vpp_streams.replay.recording import recording_in

    settings = load_settings()
    await ensure_topics(KafkaClients(settings))
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    topic = topics.TELEMETRY.full(settings.namespace)
    console = Console(stderr=True)
    with recording_in(directory, topic) as recording, console.status("connecting") as status:

        def show(behind: int) -> None:
            readings = recording.counters["readings"]
            status.update(f"{readings:,} readings from {topic}, {behind:,} frames behind")

        await record(
            settings,
            recording,
            stop,
            from_beginning=from_beginning,
            until_end=until_end,
            on_progress=show,
        )
    _print_counters(recording.counters, directory)


def _print_counters(counters: Counter[str], directory: Path) -> None:
    typer.echo(f"{counters['readings']:,} readings in {counters['files']} files in {directory}")
    if counters["bad_frames"]:
        typer.echo(
            f"{counters['bad_frames']} records that are no canonical frames were left out", err=True
        )
    if counters["lost_frames"]:
        typer.echo(
            f"{counters['lost_frames']} frames had expired in Kafka before they were recorded",
            err=True,
        )
