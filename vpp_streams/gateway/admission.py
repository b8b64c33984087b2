"""Who may connect: decided from the request alone, before the upgrade."""

import hashlib
import hmac
import re
from collections.abc import Collection, Mapping
from typing import NamedTuple

from schemas.assets import Device, Site
from schemas.protocol import SUBPROTOCOL
from vpp_streams.domain.registry import Registry

_PATH = re.compile(r"/v1/([A-Za-z0-9][A-Za-z0-9._:-]{0,63})")


class Admitted(NamedTuple):
    """The device that the connection speaks for, from here on."""

    device: Device
    site: Site


class Refused(NamedTuple):
    """Why there is no upgrade: an HTTP status and one sentence."""

    status: int
    reason: str


def admit(
    path: str,
    headers: Mapping[str, str],
    certificate_names: Collection[str],
    registry: Registry,
) -> Admitted | Refused:
    """Check path, headers and identity of an upgrade request.

    The names of ``headers`` are lower case. ``certificate_names`` are the names in a
    client certificate that TLS has verified; empty = none was shown.
    """
    match = _PATH.fullmatch(path)
    if match is None:
        return Refused(404, "devices connect to /v1/{device_id}")
    if "origin" in headers:
        return Refused(403, "browsers may not connect here (the request has an Origin)")
    offered = [name.strip() for name in headers.get("sec-websocket-protocol", "").split(",")]
    if SUBPROTOCOL not in offered:
        return Refused(400, f"offer the WebSocket subprotocol {SUBPROTOCOL}")
    device_id = match[1]
    token = _bearer(headers.get("authorization", ""))
    if not certificate_names and token is None:
        return Refused(401, "send `Authorization: Bearer <token>` or a client certificate")
    entry = registry.device(device_id)
    if entry is None:
        return Refused(403, f"device {device_id} is not in the registry (see `vpp assets import`)")
    if certificate_names:
        if device_id not in certificate_names:
            return Refused(403, f"the certificate is not that of {device_id}")
    elif token is None or not _is_token_of(entry[0], token):
        return Refused(401, f"the token is not that of {device_id}")
    return Admitted(*entry)


def _bearer(authorization: str) -> str | None:
    scheme, _, token = authorization.partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def _is_token_of(device: Device, token: str) -> bool:
    digest = hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
    # An empty hash equals no digest: such a device may connect with a certificate only.
    return hmac.compare_digest(digest.encode(), device.token_sha256.lower().encode())
