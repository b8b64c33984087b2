"""``vpp operators``: who may give orders."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from vpp_streams.errors import InputError
from vpp_streams.settings import load_settings

if TYPE_CHECKING:
    from vpp_streams.web.operators import Operator

app = typer.Typer(help="Who may give orders: tokens and rights of operators.", no_args_is_help=True)


@app.command()
def token(
    name: Annotated[str, typer.Argument(help="the operator's name; orders carry it")],
    region: Annotated[
        list[str] | None, typer.Option(help="a region to act in (more than once); all unless given")
    ] = None,
    may: Annotated[
        list[str] | None,
        typer.Option(help="dispatch, emergency, limit, hold, storm, settle (more than once)"),
    ] = None,
) -> None:
    """Make a new token, and the lines with its rights for the file VPP_OPERATORS.

    The token is shown once. The lines contain only its digest.
    """
    from vpp_streams.web.operators import lines_for, new_token

    secret = new_token()
    operator = _operator_of(secret, name, region or "*", may or ["dispatch", "limit", "hold"])
    typer.echo(f"# the token, shown only now:  VPP_OPERATOR_TOKEN={secret}", err=True)
    typer.echo("# put these lines into the file VPP_OPERATORS:", err=True)
    typer.echo(lines_for(operator), nl=False)


def _operator_of(
    secret: str, name: str, regions: list[str] | Literal["*"], may: list[str]
) -> "Operator":
    import msgspec

    from vpp_streams.web.operators import Operator, digest_of

    fields = {"name": name, "token_sha256": digest_of(secret), "regions": regions, "may": may}
    try:
        return msgspec.convert(fields, Operator)
    except msgspec.ValidationError as error:
        raise InputError(f"the operator is not valid: {error}") from None


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
