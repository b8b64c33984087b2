"""``vpp sim``: a simulated fleet of homes, solar sites and Megapacks."""

from pathlib import Path
from typing import Annotated

import typer

from vpp_streams.settings import load_settings


def sim(
    homes: Annotated[int, typer.Option(help="homes with batteries and solar", min=0)] = 200,
    solar: Annotated[int, typer.Option(help="sites with solar only", min=0)] = 20,
    megapacks: Annotated[int, typer.Option(help="grid batteries", min=0)] = 2,
    url: Annotated[
        str | None,
        typer.Option(
            help="the gateway, ws:// or wss://, or several with commas between them;"
            " default: VPP_HOST and VPP_GATEWAY_PORT"
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="the same seed simulates the same fleet", min=0)] = 1,
    secret: Annotated[
        str | None,
        typer.Option(
            help="secret from which the device tokens are derived", envvar="VPP_SIM_SECRET"
        ),
    ] = None,
    vendor_share: Annotated[
        float, typer.Option(help="share that uses a vendor's form", min=0, max=1)
    ] = 0.3,
    outage_rate: Annotated[
        float, typer.Option(help="lost links per device and hour (about 30 s each)", min=0)
    ] = 0.0,
    grid_outage_rate: Annotated[
        float, typer.Option(help="grid outages per site and day (about 10 min each)", min=0)
    ] = 0.0,
    offline_share: Annotated[
        float, typer.Option(help="share of homes that never connect", min=0, max=1)
    ] = 0.0,
    refuse_share: Annotated[
        float, typer.Option(help="share of homes that reject every setpoint", min=0, max=1)
    ] = 0.0,
    cut_share: Annotated[
        float, typer.Option(help="share of homes that lose their link for good", min=0, max=1)
    ] = 0.0,
    cut_after: Annotated[
        float, typer.Option(help="seconds after the start when --cut-share is cut off", min=0)
    ] = 60.0,
    recorded_home: Annotated[
        Path | None,
        typer.Option(help="CSV of a home's load and solar that drives every home", dir_okay=False),
    ] = None,
    ca: Annotated[
        Path | None, typer.Option(help="CA certificate (PEM) of the gateway, for wss://")
    ] = None,
    import_assets: Annotated[
        bool, typer.Option("--import-assets", help="first import the sites into the registry")
    ] = False,
    health: Annotated[
        bool,
        typer.Option(
            "--health", help="on VPP_KAFKA: publish counters, follow the grid's frequency"
        ),
    ] = False,
) -> None:
    """Simulate a fleet: real WebSocket clients over seeded physics. Ctrl-C stops it.

    The gateway refuses unknown devices: the first time, add --import-assets.
    A CSV for --recorded-home has the columns time_utc,load_w,pv_w or time_local,GC,GG (kW).

    vpp sim --import-assets                     200 homes, 20 solar sites, 2 Megapacks

    vpp sim --homes 1000 --outage-rate 2        each device loses its link twice an hour

    vpp sim --offline-share 0.1 --refuse-share 0.05     a realistic fleet
    """
    import asyncio

    from device_sim.fleet import DEMO_SECRET
    from device_sim.runner import SimOptions
    from vpp_streams.local.simulated_fleet import (
        gateway_url,
        recorded_of,
        simulate,
        sites_to_simulate,
        tls_of,
    )

    settings, secret = load_settings(), secret or DEMO_SECRET
    url = gateway_url(settings, url)
    sites = sites_to_simulate(homes, solar, megapacks, seed=seed, secret=secret)
    options = SimOptions(
        url=url,
        seed=seed,
        secret=secret,
        vendor_share=vendor_share,
        outages_per_hour=outage_rate,
        grid_outages_per_day=grid_outage_rate,
        recorded=recorded_of(recorded_home),
        offline_share=offline_share,
        refuse_share=refuse_share,
        cut_share=cut_share,
        cut_after_s=cut_after,
        tls=tls_of(url, ca),
    )
    asyncio.run(
        simulate(settings, sites, options, registers=import_assets, reports=health, say=typer.echo)
    )
