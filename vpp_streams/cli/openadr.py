"""``vpp openadr``: run a virtual end node (VEN) of an OpenADR 3.1 VTN, for one region."""

import asyncio
from typing import Annotated

import typer

from vpp_streams.errors import InputError
from vpp_streams.settings import load_settings


def openadr(
    vtn: Annotated[
        str, typer.Option(help="base URL of the VTN, https://", envvar="VPP_OPENADR_VTN")
    ],
    region: Annotated[str, typer.Option(help="region that its events are for")],
    program: Annotated[
        list[str] | None,
        typer.Option(
            help="name or id of a program (more than once); default: all that the VTN shows"
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="our venName at the VTN; default: vpp-REGION")
    ] = None,
    target: Annotated[
        list[str] | None, typer.Option(help="a group that we belong to (more than once)")
    ] = None,
    every: Annotated[float, typer.Option(help="seconds between polls", min=1, max=3600)] = 30.0,
    client_id: Annotated[
        str, typer.Option(help="OAuth 2.0 client id", envvar="VPP_OPENADR_CLIENT_ID")
    ] = "",
) -> None:
    """Follow an OpenADR 3.1 VTN: prices, setpoints, limits and alerts in, reports out.

    The client's secret is read from VPP_OPENADR_CLIENT_SECRET. Events that are refused or corrected
    are logged once, with the reason; docs/openadr.md has the table. Ctrl-C stops it: requests that
    were made apply until they end.

    \b
    vpp openadr --vtn https://vtn.example/openadr3 --region north
    vpp openadr --vtn http://localhost:3000 --region north --program "Dynamic Pricing 101"
    """
    import os
    from urllib.parse import urlsplit

    import msgspec

    from schemas.bounds import Id
    from vpp_streams.domain.openadr.requests import Ven
    from vpp_streams.openadr.process import VenOptions, run_ven
    from vpp_streams.process.logs import set_up_logs

    parts = urlsplit(vtn)
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.query:
        raise InputError(f"--vtn {vtn}: give a base URL, for example https://vtn.example/openadr3")
    try:
        msgspec.convert(region, Id)
    except msgspec.ValidationError:
        raise InputError(f"--region {region!r} is not a valid region name") from None
    secret = os.environ.get("VPP_OPENADR_CLIENT_SECRET", "")
    if bool(client_id) != bool(secret):
        raise InputError("give VPP_OPENADR_CLIENT_ID and VPP_OPENADR_CLIENT_SECRET both, or none")
    ven = Ven(name or f"vpp-{region}", region, frozenset(target or ()))
    if len(ven.name) > 100:
        raise InputError("--name has more than 100 characters")
    settings = load_settings()
    set_up_logs(settings)
    programs = frozenset(program or ())
    asyncio.run(
        run_ven(
            settings,
            VenOptions(
                vtn=vtn,
                ven=ven,
                programs=programs,
                client_id=client_id,
                client_secret=secret,
                every_s=every,
            ),
        )
    )
