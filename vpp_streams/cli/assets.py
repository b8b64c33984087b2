"""``vpp assets``: the registry of sites and devices."""

import asyncio
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from schemas.assets import SiteState
from vpp_streams.errors import InputError
from vpp_streams.settings import load_settings

app = typer.Typer(
    no_args_is_help=True,
    help="The registry: sites with their devices, ratings, regions and limits.",
)


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="YAML or CSV; see docs/examples/assets.yaml")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="check the file only; needs no Kafka")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="do not ask; needed where nobody can answer")
    ] = False,
    enrol_out: Annotated[
        Path | None,
        typer.Option(help="a new CSV file with a one-time code for each device (`vpp ca serve`)"),
    ] = None,
) -> None:
    """Add the sites of a file to the registry, or replace them.

    The complete file is checked first, and nothing is written unless all of it is valid. A site in
    the file replaces the one in the registry; a device without a token keeps the one it has, and a
    site without a state stays in its own (a new one is active). Set `state: retired` on a site that
    ends. An import that creates a region or retires sites says so and asks first.

    With --enrol-out each device of the file gets a one-time code, with which its home fetches a
    certificate; the codes are in that file only.
    """
    from vpp_streams.cli.screens.asset_tables import counted, writing
    from vpp_streams.cli.screens.import_question import agree_to_import, in_numbers
    from vpp_streams.domain.registry.registry import Registry
    from vpp_streams.identity.operating import CODE_DAYS
    from vpp_streams.local.site_import import import_file
    from vpp_streams.process.user_files import read_sites

    if dry_run:
        typer.echo(f"{file} is valid: {counted(read_sites(file, Registry()))}; nothing was written")
        return
    agree = partial(agree_to_import, yes=yes)
    done = asyncio.run(import_file(load_settings(), file, agree, writing, enrol_out=enrol_out))
    typer.echo(in_numbers(done.plan))
    if enrol_out is not None:
        typer.echo(f"{done.codes} one-time codes in {enrol_out}, valid for {CODE_DAYS:g} days")


@app.command()
def state(
    site_id: Annotated[str, typer.Argument(metavar="SITE", help="a site's id")],
    state: Annotated[
        SiteState,
        typer.Argument(
            metavar="STATE", help="planned, commissioning, active, suspended or retired"
        ),
    ],
    reason: Annotated[str, typer.Option(help="why; kept in the site's history")] = "",
) -> None:
    """Change the state of a site.

    planned: its devices may not connect yet.

    commissioning: they connect, and their readings are shown.

    active: it is expected, offered, commanded and paid as well; no other site is.

    suspended: as commissioning; commands that run are ended.

    retired: its devices are disconnected, and late readings are refused.
    """
    from vpp_streams.local.site_import import change_state

    before = asyncio.run(change_state(load_settings(), site_id, state, reason))
    was = "" if before == state else f"was {before} and "
    typer.echo(f"{site_id} {was}is {state}")


@app.command("list")
def list_(
    region: Annotated[str | None, typer.Option(help="only this region")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object a line")] = False,
) -> None:
    """List the sites that are not retired."""
    from vpp_streams.cli.screens.asset_tables import show_sites
    from vpp_streams.local.site_import import read_registry

    registry = asyncio.run(read_registry(load_settings()))
    sites = [site for site in registry.sites() if region in (None, site.region)]
    if region is not None and not sites:
        known = ", ".join(registry.regions()) or "none; add some with `vpp assets import FILE`"
        raise InputError(f"there is no site in region {region!r}; the regions are: {known}")
    show_sites(sorted(sites, key=lambda site: (site.region, site.site_id)), as_json)


@app.command()
def show(
    id_: Annotated[str, typer.Argument(metavar="ID", help="a site's or a device's id")],
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object")] = False,
) -> None:
    """Show one site, retired ones too, with its devices and the history of its state."""
    from vpp_streams.cli.screens.asset_tables import show_site
    from vpp_streams.local.site_import import read_registry

    registry = asyncio.run(read_registry(load_settings()))
    entry = registry.device(id_)
    site = registry.record(id_) or (entry[1] if entry else None)
    if site is None:
        raise InputError(f"no site or device {id_!r} in the registry; see `vpp assets list`")
    show_site(site, as_json)


@app.command()
def token() -> None:
    """Make a new token: one line for the device, one for the asset file."""
    import hashlib
    import secrets

    new = secrets.token_urlsafe(24)
    typer.echo(f"on the device:     {new}")
    typer.echo(f"in the asset file: token_sha256: {hashlib.sha256(new.encode()).hexdigest()}")
