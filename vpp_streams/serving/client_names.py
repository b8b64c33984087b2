"""Who counts as one client, wherever clients are limited or locked out."""

import ipaddress


def client_of(address: str) -> str:
    """The client of an address: of IPv6 the /64 network, because one client has all of it."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if ip.version == 4:
        return str(ip)
    if ip.ipv4_mapped is not None:
        return str(ip.ipv4_mapped)
    return str(ipaddress.ip_network((ip, 64), strict=False))
