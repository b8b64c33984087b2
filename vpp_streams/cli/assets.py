"""``vpp assets``: the registry of sites and devices."""

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vpp_streams.errors import InputError
from vpp_streams.settings import Settings, load_settings

if TYPE_CHECKING:
    from schemas.assets import Site
    from vpp_streams.domain.files.asset_files import Format
    from vpp_streams.domain.registry.registry import Registry

FORMATS: dict[str, "Format"] = {".yaml": "yaml", ".yml": "yaml", ".csv": "csv"}
SHOWN_PROBLEMS = 50

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
) -> None:
    """Add the sites of a file to the registry, or replace them.

    The complete file is checked first, and nothing is written unless all of it is valid. A site in
    the file replaces the one in the registry; a device without a token keeps the one it has. Set
    `removed: true` on a site to remove it.
    """
    from vpp_streams.domain.registry.registry import Registry

    if dry_run:
        sites = read_sites(file, Registry())
        devices = sum(len(site.devices) for site in sites)
        typer.echo(f"{file} is valid: {len(sites)} sites, {devices} devices; nothing was written")
        return
    asyncio.run(_import(load_settings(), file))


@app.command("list")
def list_(
    region: Annotated[str | None, typer.Option(help="only this region")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object a line")] = False,
) -> None:
    """List the sites."""
    from rich.console import Console

    from vpp_streams.cli.screens.asset_tables import table_of_sites

    registry = asyncio.run(_registry(load_settings()))
    sites = [site for site in registry.sites() if region in (None, site.region)]
    if region is not None and not sites:
        known = ", ".join(registry.regions()) or "none; add some with `vpp assets import FILE`"
        raise InputError(f"there is no site in region {region!r}; the regions are: {known}")
    sites.sort(key=lambda site: (site.region, site.site_id))
    if as_json:
        for site in sites:
            typer.echo(_json(site))
        return
    Console().print(table_of_sites(sites))
    devices = sum(len(site.devices) for site in sites)
    typer.echo(f"{len(sites)} sites, {devices} devices")


@app.command()
def show(
    id_: Annotated[str, typer.Argument(metavar="ID", help="a site's or a device's id")],
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object")] = False,
) -> None:
    """Show one site with its devices."""
    from rich.console import Console

    from vpp_streams.cli.screens.asset_tables import table_of_devices, table_of_site

    registry = asyncio.run(_registry(load_settings()))
    entry = registry.device(id_)
    site = registry.site(id_) or (entry[1] if entry else None)
    if site is None:
        raise InputError(f"no site or device {id_!r} in the registry; see `vpp assets list`")
    if as_json:
        typer.echo(_json(site))
        return
    console = Console()
    console.print(table_of_site(site))
    console.print(table_of_devices(site))


@app.command()
def token() -> None:
    """Make a new token: one line for the device, one for the asset file."""
    import hashlib
    import secrets

    new = secrets.token_urlsafe(24)
    typer.echo(f"on the device:     {new}")
    typer.echo(f"in the asset file: token_sha256: {hashlib.sha256(new.encode()).hexdigest()}")


def read_sites(file: Path, known: "Registry") -> "list[Site]":
    """The sites of an asset file. Raises `InputError` with every problem, one per line."""
    from schemas.assets import Site
    from vpp_streams.domain.files.asset_files import read_assets

    format_ = FORMATS.get(file.suffix.lower())
    if format_ is None:
        raise InputError(f"{file}: unknown kind of file; name it .yaml, .yml or .csv")
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"{file}: not UTF-8 text; save it as UTF-8") from None
    sites: list[Site] = []
    problems = []
    for found in read_assets(text, format_, known):
        if isinstance(found, Site):
            sites.append(found)
        else:
            problems.append(f"{file}:{found}")
    if problems:
        more = len(problems) - SHOWN_PROBLEMS
        rest = [f"... and {more} more"] if more > 0 else []
        count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
        lines = [f"{count} in {file}, nothing was written", *problems[:SHOWN_PROBLEMS], *rest]
        raise InputError("\n  ".join(lines))
    return sites


async def _import(settings: Settings, file: Path) -> None:
    from rich.progress import track

    registry = await _registry(settings)
    sites = read_sites(file, registry)
    known = {site.site_id: site for site in registry.sites()}
    changed = [
        site
        for site in sites
        if known.get(site.site_id) != site and not (site.removed and site.site_id not in known)
    ]
    shown = track(changed, "writing", disable=len(changed) < 1000, transient=True)
    await _write(settings, shown)
    new = sum(site.site_id not in known for site in changed)
    typer.echo(
        f"{new} sites new, {len(changed) - new} changed, {len(sites) - len(changed)} unchanged"
    )


async def _write(settings: Settings, sites: Iterable["Site"]) -> None:
    from aiokafka.errors import KafkaError

    from vpp_streams.errors import BrokerError
    from vpp_streams.kafka import topics
    from vpp_streams.kafka.clients import KafkaClients, producing
    from vpp_streams.kafka.outlet import Outlet

    try:
        async with producing(KafkaClients(settings)) as producer:
            outlet = Outlet(producer, settings.namespace)
            await asyncio.gather(*[await outlet.send(topics.ASSETS, site) for site in sites])
    except KafkaError as error:
        raise BrokerError(
            f"Kafka did not take all sites ({error!r}); run the same import again"
        ) from None


async def _registry(settings: Settings) -> "Registry":
    """The registry as it is now. Raises `BrokerError`."""
    from vpp_streams.domain.registry.registry import Registry
    from vpp_streams.kafka.admin import ensure_topics
    from vpp_streams.kafka.clients import KafkaClients
    from vpp_streams.kafka.follower import assets_into
    from vpp_streams.process.connection import onlooker

    clients = KafkaClients(settings)
    await ensure_topics(clients)
    registry = Registry()
    async with onlooker(clients).following(assets_into(registry)):
        return registry


def _json(site: "Site") -> str:
    """A site as JSON, without its devices' token hashes, which only the gateway needs."""
    from msgspec.structs import replace

    from schemas.encoding import encode_json

    devices = tuple(replace(device, token_sha256="") for device in site.devices)
    return encode_json(replace(site, devices=devices)).decode()
