"""Where a gateway may listen: what would be a danger is refused, each with the way out."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice

import structlog

from vpp_streams.domain.registry.demo_tokens import count_demo_devices
from vpp_streams.domain.registry.registry import Registry
from vpp_streams.errors import InputError
from vpp_streams.process.ports import is_loopback
from vpp_streams.process.private_files import locked
from vpp_streams.settings import Settings

log = structlog.get_logger()

LOOKED_AT = 10_000
"""Devices that are looked at for the demo's tokens before the start; later ones are at login."""


def check_plain_text(settings: Settings) -> None:
    """Raises `InputError` where tokens would cross a network that others can read."""
    if is_open_plain_text(settings) and not settings.gateway_plain:
        raise InputError(
            f"VPP_HOST={settings.host} can be reached from other machines, and tokens would be"
            " sent in plain text: set VPP_TLS_CERT (and VPP_TLS_KEY), or VPP_GATEWAY_PLAIN=1 where"
            " something in front of the gateway speaks TLS"
        )


def is_open_plain_text(settings: Settings) -> bool:
    """Whether other machines can connect without TLS."""
    return settings.tls_cert is None and not is_loopback(settings.host)


def warn_of_plain_text(settings: Settings) -> str:
    """Log and return a warning where other machines can connect without TLS; else ""."""
    if not is_open_plain_text(settings):
        return ""
    warning = (
        f"it listens on {settings.host} without TLS (VPP_GATEWAY_PLAIN): tokens and readings are"
        " readable unless something in front of it speaks TLS"
    )
    log.warning("the gateway listens beyond loopback without TLS", host=settings.host)
    return warning


def check_demo_tokens(settings: Settings, registry: Registry) -> None:
    """Warn of devices whose tokens are public; raises `InputError` where others could use them."""
    devices = (device for site in registry.sites() for device in site.devices)
    public = count_demo_devices(islice(devices, LOOKED_AT))
    if not public:
        return
    if not is_loopback(settings.host):
        raise InputError(
            f"{public} devices of the registry have the demo's tokens, which are public, and"
            f" VPP_HOST={settings.host} can be reached from other machines: give them tokens of"
            " their own (`vpp assets token`, or `vpp sim --secret … --import-assets`)"
        )
    log.warning("devices have the demo's public tokens: for tests on this machine", count=public)


@contextmanager
def sharing_port(settings: Settings) -> Iterator[None]:
    """Hold the right to share the port: with gateways of the same world only.

    Raises `InputError` where one of another world has it. Port 0 is nobody else's.
    """
    port = settings.gateway_port
    if not settings.gateway_share_port or port == 0:
        yield
        return
    directory = settings.state_dir / "gateway"
    world = f"{settings.kafka} {settings.namespace}"
    with locked(directory / "ports.lock"):
        file = os.open(directory / f"{port}.world", os.O_RDWR | os.O_CREAT, 0o600)
        other = _share(file, world)
    try:
        if other is not None:
            raise InputError(
                f"port {port} is shared by gateways of another world ({other}): choose another"
                " with --port"
            )
        yield
    finally:
        os.close(file)  # and with it the lock


def _share(file: int, world: str) -> str | None:
    """Join those who hold the file, or be the first; returns their world where it is not ours."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        fcntl.flock(file, fcntl.LOCK_SH)
        held = os.pread(file, 1000, 0).decode(errors="replace")
        return None if held == world else held
    os.ftruncate(file, 0)
    os.pwrite(file, world.encode(), 0)
    # Nobody gets in between: whoever joins holds the lock of all ports.
    fcntl.flock(file, fcntl.LOCK_SH)
    return None
