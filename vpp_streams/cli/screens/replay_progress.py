"""The progress of a replay on stderr, and what was played."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

from vpp_streams.cli.screens.home_report import utc
from vpp_streams.domain.files.frames_plan import Step
from vpp_streams.errors import InputError
from vpp_streams.replay.sources import Source


class ReplayProgress:
    """A bar of the data's time, with counts of the readings and frames that were played."""

    def __init__(self, bar: Progress, task: TaskID, first_ms: int) -> None:
        self.readings = 0
        self.frames = 0
        self._bar = bar
        self._task = task
        self._first_ms = first_ms

    def show(self, step: Step) -> None:
        """Count and show a step that was played."""
        self.readings += sum(len(frame.batch) for frame in step.frames)
        self.frames += len(step.frames)
        self._bar.update(
            self._task,
            completed=step.stream_time_ms - self._first_ms,
            description=f"{utc(step.stream_time_ms)} UTC",
        )


@contextmanager
def progress_of(source: Source) -> Iterator[ReplayProgress]:
    """Show the progress of a source's replay during the block."""
    if not source.sites:
        typer.echo(
            "no sites beside the recording; import them first, or they have no region", err=True
        )
    columns = TextColumn("{task.description}"), BarColumn(), TaskProgressColumn()
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as bar:
        task = bar.add_task("starting", total=max(source.last_ms - source.first_ms, 1))
        yield ReplayProgress(bar, task, source.first_ms)


def print_played(progress: ReplayProgress, namespace: str) -> None:
    """Print what was played, and the next command. Raises `InputError` if there was nothing."""
    if not progress.readings:
        raise InputError("the recording has no reading in the requested time")
    typer.echo(
        f"{progress.readings:,} readings in {progress.frames:,} frames in namespace {namespace};"
        f" next: VPP_NAMESPACE={namespace} vpp worker fleet"
    )
