"""``vpp replay``: a recording, or a CSV of a recorded home, as telemetry."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vpp_streams.errors import InputError
from vpp_streams.settings import Settings, load_settings

if TYPE_CHECKING:
    from vpp_streams.replay.sources import Source, Span


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
    import asyncio

    from vpp_streams.replay.sources import Span

    span = Span(_time_ms("--from", from_), _time_ms("--to", to))
    factor = _speed(speed)
    if not namespace:
        raise InputError("--namespace must not be empty: the empty one is the live system")
    settings = load_settings(namespace=namespace)
    found = _open(source, mapping, span, strict)
    try:
        asyncio.run(_play(settings, found, factor))
    except KeyboardInterrupt:
        typer.echo(f"stopped; namespace {namespace} has the part played so far", err=True)
        raise typer.Exit(130) from None


def _speed(text: str) -> float | None:
    if text == "max":
        return None
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0 < speed < float("inf"):
        raise InputError(f"--speed {text}: give a number above 0, or max")
    return speed


def _time_ms(option: str, text: str | None) -> int | None:
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise InputError(
            f"{option} {text}: give a time like 2024-03-01 or 2024-03-01T12:00"
        ) from None
    return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)


def _open(path: Path, mapping_file: Path | None, span: "Span", strict: bool) -> "Source":
    from vpp_streams.cli.screens.home_report import report_lines
    from vpp_streams.replay.sources import home_source, load_home, load_mapping, open_recording

    if path.suffix.lower() != ".csv":
        if mapping_file:
            raise InputError(f"--mapping is for a CSV, and {path} is not one")
        found = open_recording(path, span)
        if not found.sites:
            typer.echo(
                "no sites beside the recording; import them first, or they have no region", err=True
            )
        return found
    if not mapping_file:
        raise InputError(
            f"{path} needs --mapping FILE.yaml with the meaning of its columns;"
            " see the examples in docs/examples/mappings/"
        )
    mapping = load_mapping(mapping_file)
    home = load_home(path, mapping)
    for line in report_lines(home.report, path.name):
        typer.echo(line, err=True)
    if strict and home.report.bad:
        raise InputError(
            f"{path} has {len(home.report.bad)} bad rows (--strict); nothing was replayed"
        )
    return home_source(home, mapping, span)


async def _play(settings: Settings, source: "Source", speed: float | None) -> None:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    from vpp_streams.cli.screens.home_report import utc
    from vpp_streams.domain.files.frames_plan import Step
    from vpp_streams.replay.replay import Pacer, replay

    readings = frames = 0
    columns = TextColumn("{task.description}"), BarColumn(), TaskProgressColumn()
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as progress:
        task = progress.add_task("starting", total=max(source.last_ms - source.first_ms, 1))

        def show(step: Step) -> None:
            nonlocal readings, frames
            readings += sum(len(frame.batch) for frame in step.frames)
            frames += len(step.frames)
            progress.update(
                task,
                completed=step.stream_time_ms - source.first_ms,
                description=f"{utc(step.stream_time_ms)} UTC",
            )

        await replay(settings, source, Pacer(speed), show)
    if not readings:
        raise InputError("the recording has no reading in the requested time")
    typer.echo(
        f"{readings:,} readings in {frames:,} frames in namespace {settings.namespace};"
        f" next: VPP_NAMESPACE={settings.namespace} vpp worker fleet"
    )
