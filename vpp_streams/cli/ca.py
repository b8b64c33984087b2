"""``vpp ca``: the certificate authority of the devices."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from vpp_streams.errors import InputError
from vpp_streams.settings import Settings, load_settings

SERVER_DAYS = 397
"""How long a certificate of `vpp ca server` holds: what browsers and libraries accept at most."""
MAX_CODE_DAYS = 30.0
"""A code's record is kept for 90 days, its use included."""

app = typer.Typer(
    no_args_is_help=True,
    help="Identity of devices: certificates, one-time codes, revocation.",
)


@app.command()
def init() -> None:
    """Make the authority once, in the directory VPP_CA: ca.pem (public) and ca.key (secret)."""
    from vpp_streams import clock
    from vpp_streams.domain.identity.authority import fingerprint
    from vpp_streams.identity.ca_files import create_authority

    directory = load_settings().ca
    made = create_authority(directory, "vpp_streams devices", clock.now_ms())
    typer.echo(f"{directory}/ca.key signs: keep it on the machine of `vpp ca serve`, and a copy")
    typer.echo(f"{directory}/ca.pem is public: VPP_TLS_CLIENT_CA of each gateway")
    typer.echo(f"its fingerprint, which devices check: {fingerprint(made.certificate)}")


@app.command()
def server(
    names: Annotated[list[str], typer.Argument(help="host names or IP addresses of the server")],
    out: Annotated[Path, typer.Option(help="directory of server.pem and server.key")],
) -> None:
    """Make a gateway's certificate: VPP_TLS_CERT=OUT/server.pem VPP_TLS_KEY=OUT/server.key.

    Made again, it replaces the files; a running gateway takes them up within 5 s.
    """
    from vpp_streams import clock
    from vpp_streams.domain.moments import DAY_MS
    from vpp_streams.identity.ca_files import read_authority, write_server_files

    authority = read_authority(load_settings().ca)
    life_ms = SERVER_DAYS * DAY_MS
    files = write_server_files(authority, names, out, now_ms=clock.now_ms(), life_ms=life_ms)
    typer.echo(f"{files[0]} and {files[1]}, valid for {SERVER_DAYS} days")


@app.command()
def code(
    device: Annotated[str, typer.Argument(help="the device's id in the registry")],
    days: Annotated[
        float, typer.Option(help="how long the code holds", min=0.01, max=MAX_CODE_DAYS)
    ] = 14.0,
) -> None:
    """Make a one-time code, with which a device's home fetches a certificate."""
    asyncio.run(_code(load_settings(), device, days))


@app.command()
def issue(
    device: Annotated[str, typer.Argument(help="the device's id in the registry")],
    request: Annotated[Path, typer.Argument(help="its certificate request (PKCS #10, PEM)")],
) -> None:
    """Sign a certificate request by hand; the certificate is printed.

    For a device that cannot reach `vpp ca serve`. Only P-256 keys are signed, and the names in the
    request are not read.
    """
    try:
        request_pem = request.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{request}: {error}") from None
    asyncio.run(_issue(load_settings(), device, request_pem))


@app.command()
def revoke(
    device: Annotated[str, typer.Argument(help="the device's id")],
    reason: Annotated[str, typer.Option(help="for the record", max=2000)] = "",
) -> None:
    """Revoke a device's certificates, codes and token: gateways close its connection within 5 s.

    It comes back with a certificate that is issued later, for a new code.
    """
    asyncio.run(_revoke(load_settings(), device, reason))


@app.command("list")
def list_(
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object a line")] = False,
) -> None:
    """List the newest certificate of each device: valid, expires soon, expired or revoked."""
    from vpp_streams.cli.screens.certificates import show_certificates
    from vpp_streams.identity.operating import newest_certificates

    show_certificates(asyncio.run(newest_certificates(load_settings())), as_json)


@app.command()
def serve(
    name: Annotated[
        list[str] | None,
        typer.Option(help="host name or address of this server (more than once)"),
    ] = None,
    port: Annotated[
        int | None, typer.Option(help="port to listen on; 0 = any free one", min=0, max=65535)
    ] = None,
) -> None:
    """Serve enrolment and renewal over HTTPS, with the key in VPP_CA. Start one or several."""
    from vpp_streams.process.logs import set_up_logs
    from vpp_streams.process.ports import is_loopback

    settings = load_settings(enrol_port=port)
    if not name and not is_loopback(settings.host):
        raise InputError(
            f"VPP_HOST={settings.host} can be reached from other machines: give the names under"
            " which homes reach it, --name enrol.example.org, as its certificate is for these only"
        )
    set_up_logs(settings)
    asyncio.run(_serve(settings, name or ["localhost", "127.0.0.1"]))


async def _code(settings: Settings, device: str, days: float) -> None:
    from vpp_streams.domain.identity.authority import fingerprint
    from vpp_streams.domain.identity.enrolment import registered
    from vpp_streams.domain.identity.refusals import Refused
    from vpp_streams.identity.ca_files import read_root
    from vpp_streams.identity.operating import make_codes, publish_codes
    from vpp_streams.local.site_import import read_registry

    root = read_root(settings.ca)
    subject = registered(device, await read_registry(settings))
    if isinstance(subject, Refused):
        raise InputError(subject.sentence)
    codes = make_codes([subject], days)
    await publish_codes(settings, codes)
    typer.echo(f"code, shown only now:    {codes[0].text}")
    typer.echo(f"authority's fingerprint: {fingerprint(root)}")


async def _issue(settings: Settings, device: str, request_pem: str) -> None:
    from vpp_streams.identity.operating import issue as issue_by_hand
    from vpp_streams.local.site_import import read_registry

    granted = await issue_by_hand(settings, device, request_pem, await read_registry(settings))
    typer.echo(granted.certificate_pem, nl=False)


async def _revoke(settings: Settings, device: str, reason: str) -> None:
    from vpp_streams.domain.identity.refusals import new_code
    from vpp_streams.identity.operating import revoke as revoke_device
    from vpp_streams.local.site_import import read_registry

    count = await revoke_device(settings, device, reason, await read_registry(settings))
    typer.echo(f"{device} is revoked; certificates of it that had not expired: {count}")
    typer.echo(f"to let it in again: {new_code(device)}")


async def _serve(settings: Settings, names: list[str]) -> None:
    import structlog

    from vpp_streams.identity.enrolment_server import running_enrolment
    from vpp_streams.process.background import run_until_stopped

    async with running_enrolment(settings, names) as running:
        url = f"https://{names[0]}:{running.port}"
        structlog.get_logger().info("enrolment is served", url=url)
        await run_until_stopped(*(_wait_for(task) for task in running.background))


async def _wait_for(task: "asyncio.Task[None]") -> None:
    await task
