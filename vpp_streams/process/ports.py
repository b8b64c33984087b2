"""TCP ports of this machine."""

import socket
from ipaddress import ip_address

from vpp_streams.errors import InputError


def free_port() -> int:
    """A TCP port of this machine that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_free(host: str, port: int) -> bool:
    """Whether a server could listen on this port of ``host``."""
    with socket.socket() as probe:
        # As servers do: a port whose last connections are in TIME_WAIT is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def bound(host: str, port: int) -> socket.socket:
    """A socket for a server on this port of ``host`` (0 = any free one), which does not listen yet.

    Raises `InputError` where the port cannot be used.
    """
    # asyncio sends small writes at once (TCP_NODELAY) only where a socket says that it is TCP. Else
    # an answer of headers and body waits 40 ms for the client's delayed acknowledgement.
    listener = socket.socket(proto=socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise InputError(
            f"cannot listen on {host} port {port} ({error.strerror});"
            " stop what uses it, or choose another with --port"
        ) from None
    return listener


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server that listens on ``host``."""
    if host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
