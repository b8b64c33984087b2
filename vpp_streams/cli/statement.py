"""``vpp statement SITE MONTH``: what an owner earned in a month, and why."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from vpp_streams.errors import InputError, LedgerError
from vpp_streams.settings import load_settings

if TYPE_CHECKING:
    from vpp_streams.domain.statements.document import StatementDocument
    from vpp_streams.settings import Settings
    from vpp_streams.statements.reading import LedgerReader
    from vpp_streams.statements.terms import Terms

Shape = Literal["table", "json", "csv", "pdf"]
MonthText = Annotated[str, typer.Argument(metavar="MONTH", help="for example 2026-11")]


def statement(
    site: Annotated[str, typer.Argument(help="id of the site")],
    month: MonthText,
    format_: Annotated[Shape, typer.Option("--format", help="table, json, csv or pdf")] = "table",
    out: Annotated[Path | None, typer.Option(help="file to write; pdf needs one")] = None,
) -> None:
    """Show a site's statement for a month, from the ledger: each line with its arithmetic.

    It reads the database of VPP_LEDGER itself; months are those of VPP_LEDGER_ZONE.

    \b
    vpp statement site-home-0001 2026-11
    vpp statement site-home-0001 2026-11 --format pdf --out november.pdf
    """
    from vpp_streams.cli.screens.statements import statement_lines
    from vpp_streams.process.private_files import write_private
    from vpp_streams.statements.files import file_of
    from vpp_streams.statements.reading import LedgerReader

    month = checked_month(month)
    if format_ == "pdf" and out is None:
        raise InputError("a PDF is no text: name its file with --out FILE")
    settings = load_settings()
    ledger = LedgerReader(settings)
    if not ledger.months(site):
        raise LedgerError(f"nothing was ever booked for site {site!r}; `vpp assets` lists sites")
    document = document_of(ledger, site, month, known_terms(settings))
    content = (
        f"{statement_lines(document)}\n".encode()
        if format_ == "table"
        else file_of(document, format_)
    )
    if out is None:
        typer.echo(content.decode(), nl=format_ == "json")
    else:
        write_private(out.absolute(), content)
        typer.echo(f"{out}: {format_}, {len(content):,} bytes", err=True)


def checked_month(text: str) -> str:
    """A month as it was typed. Raises `InputError` for what is none."""
    from vpp_streams.domain.statements.document import is_month

    if not is_month(text):
        raise InputError(f"{text!r} is no month: write it as 2026-11")
    return text


def document_of(
    ledger: "LedgerReader", site: str, month: str, terms: "Terms"
) -> "StatementDocument":
    """A site's statement with the cost of its storms. Raises `LedgerError`."""
    from vpp_streams import clock

    facts = terms.storms_of(site)
    now_ms = clock.now_ms()
    storms = None if facts is None else ledger.storms.bill(facts, month, ledger.zone, now_ms)
    return ledger.statement(site, month, terms.programs, storms)


def known_terms(settings: "Settings") -> "Terms":
    """Terms and storms from Kafka; where it does not answer, none, which is said."""
    import asyncio

    from vpp_streams.errors import BrokerError
    from vpp_streams.statements.terms import Terms, terms_now

    try:
        return asyncio.run(terms_now(settings))
    except BrokerError as error:
        typer.echo(f"names of programs and costs of storms are left out: {error}", err=True)
        return Terms()
