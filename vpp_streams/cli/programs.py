"""``vpp programs``: the terms that owners are paid by, and who takes part in them."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from vpp_streams.settings import load_settings

app = typer.Typer(
    help="Programs, tariffs and enrolments: the terms that owners are paid by.",
    no_args_is_help=True,
)
_File = Annotated[Path, typer.Argument(help="TOML; `vpp programs example` prints one")]


@app.command()
def example() -> None:
    """Print a file with a program, a tariff and an enrolment, and what each line means."""
    from vpp_streams.domain.files.program_files import EXAMPLE

    typer.echo(EXAMPLE, nl=False)


@app.command()
def check(file: _File) -> None:
    """Check a file against the registry and what is known, and write nothing."""
    from schemas.programs import Program
    from vpp_streams.cli.screens.program_terms import terms_line
    from vpp_streams.local.program_import import records_of_file

    records = asyncio.run(records_of_file(load_settings(), file))
    typer.echo(f"{file} is in order: {_counted(records)}")
    for one in records:
        if isinstance(one, Program):
            typer.echo(f"program {one.program_id} version {one.version} pays {terms_line(one)}")


@app.command()
def apply(file: _File) -> None:
    """Write a file's programs, tariffs and enrolments. The same file again changes nothing."""
    from vpp_streams.local.program_import import records_of_file, write_records

    settings = load_settings()

    async def run() -> str:
        records = await records_of_file(settings, file)
        await write_records(settings, records)
        return _counted(records)

    typer.echo(f"written: {asyncio.run(run())}")


@app.command("list")
def list_() -> None:
    """List programs and tariffs with the time from which each version holds, and who takes part."""
    from schemas.programs import Enrolment, Program, Tariff
    from vpp_streams.cli.screens.program_terms import terms_line
    from vpp_streams.local.program_import import read_records

    records = asyncio.run(read_records(load_settings()))
    sites = Counter(one.program_id for one in records if isinstance(one, Enrolment))
    for one in records:
        match one:
            case Program():
                typer.echo(
                    f"program {one.program_id} version {one.version} from"
                    f" {_day(one.effective_from_ms)}: {one.name}; pays {terms_line(one)};"
                    f" {sites[one.program_id]} enrolments"
                )
            case Tariff():
                typer.echo(
                    f"tariff {one.tariff_id} version {one.version} from"
                    f" {_day(one.effective_from_ms)}, {one.currency}, {one.time_zone}"
                )
            case _:
                pass
    if not records:
        typer.echo("there is no program; `vpp programs example` prints a file for one")


def _counted(records: Sequence[object]) -> str:
    counts = Counter(type(record).__name__.lower() for record in records)
    return ", ".join(f"{n} {name}{'' if n == 1 else 's'}" for name, n in counts.items())


def _day(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
