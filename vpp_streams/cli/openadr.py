"""``vpp openadr``: run a virtual end node (VEN) of an OpenADR 3.1 VTN, for one region."""

import asyncio
from typing import Annotated

import typer

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

    from vpp_streams.domain.openadr.requests import Ven
    from vpp_streams.openadr.process import checked_options, run_ven
    from vpp_streams.process.logs import set_up_logs

    options = checked_options(
        vtn=vtn,
        ven=Ven(name or f"vpp-{region}", region, frozenset(target or ())),
        programs=frozenset(program or ()),
        client_id=client_id,
        client_secret=os.environ.get("VPP_OPENADR_CLIENT_SECRET", ""),
        every_s=every,
    )
    settings = load_settings()
    set_up_logs(settings)
    asyncio.run(run_ven(settings, options))
