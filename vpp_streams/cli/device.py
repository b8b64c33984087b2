"""``vpp device``: for those who build a device, or a gateway, that speaks ``vpp.v1``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vpp_streams.errors import InputError

if TYPE_CHECKING:
    import ssl

    from vpp_streams.conformance.verdicts import Line

app = typer.Typer(
    no_args_is_help=True, help="Check a device, or a gateway, against the protocol vpp.v1."
)


@app.callback()
def device() -> None:
    """Check a device, or a gateway, against the protocol vpp.v1."""


@app.command("check")
def check(
    url: Annotated[str, typer.Argument(help="a gateway: wss://HOST:PORT")] = "",
    listen: Annotated[str, typer.Option(help="check a device instead: HOST:PORT")] = "",
    token: Annotated[
        str, typer.Option(envvar="VPP_DEVICE_TOKEN", help="of the device, at a gateway")
    ] = "",
    device: Annotated[str, typer.Option(help="its registered id, at a gateway")] = "",
    rated_w: Annotated[
        float | None, typer.Option(min=1, help="rated power of the device's battery")
    ] = None,
    certificate: Annotated[
        Path | None, typer.Option(help="PEM file: of the check itself, for TLS")
    ] = None,
    key: Annotated[Path | None, typer.Option(help="PEM file of the certificate's key")] = None,
    ca: Annotated[Path | None, typer.Option(help="PEM file: who signed the gateway")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON document")] = False,
) -> None:
    """Try each obligation of docs/devices.md; exit 0 if no MUST failed, else 1.

    With --listen the check is a gateway, and waits for one device to connect. With a URL it is a
    device: register one for it, as its readings are stored like those of any other.

    \b
    vpp device check --listen 127.0.0.1:8799 --rated-w 5000
    vpp device check wss://vpp.example.org:8400 --device lab-1 --token TOKEN --ca ca.pem
    """
    if bool(url) == bool(listen):
        raise InputError("give either a gateway's URL, or --listen HOST:PORT to check a device")
    if listen:
        host, port = _address(listen)
        lines = _check_device(host, port, rated_w, _server_tls(certificate, key))
    else:
        tls = _client_tls(url, certificate, key, ca)
        certified = certificate is not None
        lines = _check_gateway(url, device, token or None, tls, certified=certified)
    _print(lines, as_json=as_json)


def _check_device(
    host: str, port: int, rated_w: float | None, tls: "ssl.SSLContext | None"
) -> "list[Line]":
    import asyncio

    from vpp_streams.conformance.device_check import check_device
    from vpp_streams.conformance.gateway_player import Manners, playing_gateway
    from vpp_streams.conformance.timing import DeviceTiming

    async def checked() -> "list[Line]":
        async with playing_gateway(host, port, Manners(), tls) as player:
            _progress(f"connect the device to {player.url}/v1/DEVICE with any token")
            return await check_device(
                player, DeviceTiming(), rated_w=rated_w, on_scenario=_progress
            )

    return asyncio.run(checked())


def _check_gateway(
    url: str, device: str, token: str | None, tls: "ssl.SSLContext | None", *, certified: bool
) -> "list[Line]":
    import asyncio
    import secrets

    from vpp_streams.conformance.device_player import DevicePlayer, Login
    from vpp_streams.conformance.gateway_check import check_gateway
    from vpp_streams.conformance.timing import GatewayTiming

    if not url.startswith(("ws://", "wss://")):
        raise InputError(f"{url} is no gateway's address: write ws://HOST:PORT or wss://HOST:PORT")
    if not device:
        raise InputError("give the id of a registered device: --device ID")
    if token is None and not certified:
        raise InputError("give the device's token (--token, VPP_DEVICE_TOKEN) or --certificate")
    player = DevicePlayer(Login(url=url, device_id=device, token=token, tls=tls))
    boot = secrets.token_hex(4)
    return asyncio.run(check_gateway(player, GatewayTiming(), boot=boot, on_scenario=_progress))


def _address(listen: str) -> tuple[str, int]:
    host, _, port = listen.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise InputError(f"--listen {listen} is no address: write HOST:PORT, as 127.0.0.1:8799")
    return host, int(port)


def _server_tls(certificate: Path | None, key: Path | None) -> "ssl.SSLContext | None":
    import ssl

    if certificate is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    _load(context, certificate, key)
    return context


def _client_tls(
    url: str, certificate: Path | None, key: Path | None, ca: Path | None
) -> "ssl.SSLContext | None":
    import ssl

    if not url.startswith("wss://"):
        return None
    try:
        context = ssl.create_default_context(cafile=ca)
    except (OSError, ssl.SSLError) as error:
        raise InputError(f"--ca {ca} cannot be used ({error})") from None
    if certificate is not None:
        _load(context, certificate, key)
    return context


def _load(context: "ssl.SSLContext", certificate: Path, key: Path | None) -> None:
    import ssl

    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise InputError(f"--certificate {certificate} cannot be used ({error})") from None


def _print(lines: "list[Line]", *, as_json: bool) -> None:
    import json

    from vpp_streams.conformance.verdicts import as_document, as_text, conforms

    typer.echo(json.dumps(as_document(lines), indent=2) if as_json else as_text(lines))
    raise typer.Exit(0 if conforms(lines) else 1)


def _progress(words: str) -> None:
    typer.echo(words, err=True)
