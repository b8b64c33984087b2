"""``vpp operators``: who may give orders."""

from pathlib import Path
from typing import Annotated

import typer

from vpp_streams.errors import InputError
from vpp_streams.settings import load_settings

app = typer.Typer(help="Who may give orders: tokens and rights of operators.", no_args_is_help=True)


@app.command()
def token(
    name: Annotated[str, typer.Argument(help="the operator's name; orders carry it")],
    region: Annotated[
        list[str] | None, typer.Option(help="a region to act in (more than once); all unless given")
    ] = None,
    may: Annotated[
        list[str] | None,
        typer.Option(help="dispatch, emergency, limit, hold, storm (more than once)"),
    ] = None,
) -> None:
    """Make a new token, and the lines with its rights for the file VPP_OPERATORS.

    The token is shown once. The lines contain only its digest.
    """
    import msgspec

    from vpp_streams.web.operators import Operator, digest_of, lines_for, new_token

    secret = new_token()
    fields = {
        "name": name,
        "token_sha256": digest_of(secret),
        "regions": region or "*",
        "may": may or ["dispatch", "limit", "hold"],
    }
    try:
        operator = msgspec.convert(fields, Operator)
    except msgspec.ValidationError as error:
        raise InputError(f"the operator is not valid: {error}") from None
    typer.echo(f"# the token, shown only now:  VPP_OPERATOR_TOKEN={secret}", err=True)
    typer.echo("# put these lines into the file VPP_OPERATORS:", err=True)
    typer.echo(lines_for(operator), nl=False)


@app.command("list")
def list_(
    file: Annotated[Path | None, typer.Argument(help="default: the file of VPP_OPERATORS")] = None,
) -> None:
    """List the operators of a file, with their rights."""
    from vpp_streams.web.operators import MAKE_ONE, read_operators

    path = file or load_settings().operators
    if path is None:
        raise InputError(f"nobody may give orders: {MAKE_ONE}")
    for operator in read_operators(path):
        regions = "every region" if operator.regions == "*" else ", ".join(operator.regions)
        typer.echo(f"{operator.name}: {', '.join(operator.may)} in {regions}")
