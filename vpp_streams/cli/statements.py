"""``vpp statements MONTH --out DIR``: the statements of every site for a month, as files."""

from pathlib import Path
from typing import Annotated

import typer

from vpp_streams.cli.statement import MonthText, checked_month, document_of, known_terms
from vpp_streams.errors import LedgerError
from vpp_streams.settings import load_settings


def statements(
    month: MonthText,
    out: Annotated[Path, typer.Option(help="directory to write to")],
    format_: Annotated[
        str, typer.Option("--format", metavar="json|csv|pdf", help="of the files")
    ] = "pdf",
) -> None:
    """Write a statement of each site that has entries in a month.

    Each file is complete or not there; Ctrl-C keeps those that are written, and the same command
    writes the same files again. They are readable for you only.
    """
    from vpp_streams.cli.screens.statements import counted
    from vpp_streams.errors import InputError
    from vpp_streams.process.private_files import write_private
    from vpp_streams.statements.files import MEDIA_TYPES, file_name, file_of
    from vpp_streams.statements.reading import LedgerReader

    month = checked_month(month)
    chosen = next((name for name in MEDIA_TYPES if name == format_), None)
    if chosen is None:
        raise InputError(f"there is no format {format_!r}: choose {', '.join(MEDIA_TYPES)}")
    settings = load_settings()
    ledger = LedgerReader(settings)
    sites = ledger.sites(month)
    if not sites:
        raise LedgerError(f"no site has an entry in {month}")
    terms, written = known_terms(settings), 0
    try:
        for site in counted(sites):
            document = document_of(ledger, site, month, terms)
            write_private(out.absolute() / file_name(document, chosen), file_of(document, chosen))
            written += 1
    finally:
        typer.echo(f"{written:,} of {len(sites):,} statements are in {out}", err=True)
