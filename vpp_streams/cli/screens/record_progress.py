"""The progress of a recording on stderr, and what was recorded."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import typer
from rich.console import Console

from vpp_streams.replay.recording import Recording


@contextmanager
def recording_progress() -> Iterator[Callable[[Recording, int], None]]:
    """Show progress; yields the function to call with the recording and the frames to be read."""
    with Console(stderr=True).status("connecting") as status:

        def show(recording: Recording, behind: int) -> None:
            readings = recording.counters["readings"]
            status.update(f"{readings:,} readings from {recording.topic}, {behind:,} frames behind")

        yield show


def print_counters(counters: Counter[str], directory: Path) -> None:
    """Print how much was recorded, and what was left out or lost."""
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
