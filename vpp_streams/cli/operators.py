"""``vpp operators``: tokens of programs and people who give orders, in a file."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from vpp_streams.errors import InputError
from vpp_streams.settings import load_settings

if TYPE_CHECKING:
    from vpp_streams.serving.operators import Operator

app = typer.Typer(
    help="Tokens for orders, in a file: for programs; people have accounts.", no_args_is_help=True
)


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
    days: Annotated[
        float | None, typer.Option(help="days until it ends; never unless given", min=0.01)
    ] = None,
) -> None:
    """Make a new token, and the lines with its rights for the file VPP_OPERATORS.

    The token is shown once. The lines contain only its digest.
    """
    from vpp_streams.serving.operators import lines_for, new_token

    secret = new_token()
    operator = _operator_of(
        secret, name, region or "*", may=may or ["dispatch", "limit", "hold"], days=days
    )
    typer.echo(f"# the token, shown only now:  VPP_TOKEN={secret}", err=True)
    typer.echo("# put these lines into the file VPP_OPERATORS:", err=True)
    typer.echo(lines_for(operator), nl=False)


def _operator_of(
    secret: str,
    name: str,
    regions: list[str] | Literal["*"],
    *,
    may: list[str],
    days: float | None,
) -> "Operator":
    from datetime import UTC, datetime, timedelta

    import msgspec

    from vpp_streams.accounts.secrets import digest_of
    from vpp_streams.serving.operators import Operator

    ends_at = None if days is None else datetime.now(UTC).replace(microsecond=0)
    fields = {
        "name": name,
        "token_sha256": digest_of(secret),
        "regions": regions,
        "may": may,
        "ends_at": None if ends_at is None else ends_at + timedelta(days=days or 0),
    }
    try:
        return msgspec.convert(fields, Operator)
    except msgspec.ValidationError as error:
        raise InputError(f"the operator is not valid: {error}") from None


@app.command("list")
def list_(
    file: Annotated[Path | None, typer.Argument(help="default: the file of VPP_OPERATORS")] = None,
) -> None:
    """List the operators of a file, with their rights."""
    from vpp_streams.serving.operators import MAKE_ONE, read_operators

    path = file or load_settings().operators
    if path is None:
        raise InputError(f"there is no file of operators: {MAKE_ONE}")
    for operator in read_operators(path):
        regions = "every region" if operator.regions == "*" else ", ".join(operator.regions)
        until = f", until {operator.ends_at:%Y-%m-%d}" if operator.ends_at else ""
        typer.echo(f"{operator.name}: {', '.join(operator.may)} in {regions}{until}")
