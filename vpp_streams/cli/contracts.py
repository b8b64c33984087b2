"""``vpp contracts``: the documents of the contracts."""

from pathlib import Path
from typing import Annotated

import typer

from vpp_streams.errors import VppError

_DIRECTORY = Path("docs/contracts")


def contracts(
    directory: Annotated[Path, typer.Argument(help="where the documents are")] = _DIRECTORY,
    check: Annotated[
        bool, typer.Option("--check", help="compare instead of writing; exit 1 if they differ")
    ] = False,
) -> None:
    """Write JSON Schema, AsyncAPI 3 and the Arrow schema, generated from schemas/."""
    from vpp_streams.kafka.contracts import documents

    made = documents()
    there = {path.name: path.read_text() for path in sorted(directory.glob("*.*"))}
    changed = sorted(
        name for name in made.keys() | there.keys() if made.get(name) != there.get(name)
    )
    if check and changed:
        raise VppError(f"not as generated from schemas/: {', '.join(changed)}; run `vpp contracts`")
    if check:
        typer.echo(f"{len(made)} documents in {directory} are as generated from schemas/")
        return
    directory.mkdir(parents=True, exist_ok=True)
    for name in there.keys() - made.keys():
        (directory / name).unlink()
    for name, text in made.items():
        (directory / name).write_text(text)
    typer.echo(f"{directory}: {len(made)} documents, {len(changed)} changed")
