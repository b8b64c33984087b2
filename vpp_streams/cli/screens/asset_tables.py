"""Sites and devices of the registry as tables for a terminal."""

from collections.abc import Iterable
from datetime import UTC, datetime

import msgspec
import typer
from msgspec.structs import replace
from rich.progress import track
from rich.table import Table

from schemas.assets import Site
from schemas.encoding import encode_json
from vpp_streams.cli.screens.tables import print_table


def counted(sites: list[Site]) -> str:
    """The number of sites and of their devices, in words."""
    devices = sum(len(site.devices) for site in sites)
    return ", ".join(
        f"{count} {word}{'' if count == 1 else 's'}"
        for count, word in ((len(sites), "site"), (devices, "device"))
    )


def writing(sites: list[Site]) -> Iterable[Site]:
    """The sites one by one, with a bar on the terminal where there are many."""
    return track(sites, "writing", disable=len(sites) < 1000, transient=True)


def show_sites(sites: list[Site], as_json: bool) -> None:
    """Print sites as a table, or as one JSON object a line."""
    if as_json:
        for site in sites:
            typer.echo(_json(site))
        return
    print_table(table_of_sites(sites))
    typer.echo(counted(sites))


def show_site(site: Site, as_json: bool) -> None:
    """Print one site with its devices, as tables or as one JSON object."""
    if as_json:
        typer.echo(_json(site))
        return
    print_table(table_of_site(site))
    print_table(table_of_devices(site))


def _json(site: Site) -> str:
    """A site as JSON with its state, without its devices' token hashes: only the gateway needs
    them."""
    devices = tuple(replace(device, token_sha256="") for device in site.devices)
    record = msgspec.to_builtins(replace(site, devices=devices))
    return encode_json({"site_id": site.site_id, "state": site.state, **record}).decode()


def table_of_sites(sites: list[Site]) -> Table:
    """One row per site."""
    table = _table(
        ("region", "left"),
        ("site", "left"),
        ("state", "left"),
        ("devices", "left"),
        ("battery kWh", "right"),
        ("solar kW", "right"),
        ("export limit kW", "right"),
        ("reserve", "right"),
    )
    for site in sites:
        table.add_row(
            site.region,
            site.site_id,
            site.state,
            ", ".join(device.device_id for device in site.devices),
            _number(sum(device.rated_energy_wh for device in site.devices), 1000),
            _number(sum(device.rated_solar_w for device in site.devices), 1000),
            _number(site.export_limit_w, 1000),
            f"{site.backup_reserve:.0%}",
        )
    return table


def table_of_site(site: Site) -> Table:
    """One site as names and values."""
    table = _table(("site", "left"), (site.site_id, "left"))
    table.add_row("region", site.region)
    table.add_row("state", site.state)
    for change in site.history:
        table.add_row(f"{change.state} since", f"{_moment(change.since_ms)} {change.reason}")
    table.add_row("export limit W", _number(site.export_limit_w))
    table.add_row("import limit W", _number(site.import_limit_w))
    table.add_row("backup reserve", f"{site.backup_reserve:.0%}")
    table.add_row("latitude, longitude", f"{_number(site.latitude)}, {_number(site.longitude)}")
    return table


def table_of_devices(site: Site) -> Table:
    """One row per device of a site."""
    table = _table(
        ("device", "left"),
        ("kind", "left"),
        ("model", "left"),
        ("energy Wh", "right"),
        ("charge W", "right"),
        ("discharge W", "right"),
        ("solar W", "right"),
        ("may connect with", "left"),
    )
    for device in site.devices:
        table.add_row(
            device.device_id,
            device.kind,
            device.model,
            _number(device.rated_energy_wh),
            _number(device.rated_charge_w),
            _number(device.rated_discharge_w),
            _number(device.rated_solar_w),
            "token or certificate" if device.token_sha256 else "certificate",
        )
    return table


def _moment(at_ms: int) -> str:
    """A time in UTC to the second."""
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d %H:%M:%S}Z"


def _number(value: float | None, divisor: float = 1.0) -> str:
    return "-" if value is None else f"{value / divisor:g}"


def _table(*columns: tuple[str, str]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name, justify in columns:
        table.add_column(name, justify=justify, overflow="fold")  # type: ignore[arg-type]  # left or right
    return table
