"""Who may connect: decided from the request alone, before the upgrade."""

import hmac
import re
from collections.abc import Collection, Mapping
from typing import NamedTuple

from schemas.assets import Device, Site
from schemas.protocol import REFUSED_REVOKED, SUBPROTOCOL
from vpp_streams.domain.identity.refusals import new_code
from vpp_streams.domain.identity.revocations import Revocations
from vpp_streams.domain.registry.demo_tokens import token_hash
from vpp_streams.domain.registry.registry import Registry
from vpp_streams.gateway.certificates import ClientCertificate

_NO_DIGEST = "-" * 64
"""Compared where there is none, so that the answer takes as long."""
_PATH = re.compile(r"/v1/([A-Za-z0-9][A-Za-z0-9._:-]{0,63})")


class Admitted(NamedTuple):
    """The device that the connection speaks for, from here on."""

    device: Device
    site: Site
    certificate: ClientCertificate | None = None
    """What it has shown; None = its token."""


class AdmissionRefusal(NamedTuple):
    """Why there is no upgrade: an HTTP status and one sentence."""

    status: int
    reason: str
    retry_after_s: int | None = None
    """When to come again, where it is only too early."""
    code: str = ""
    """A stable word, where a device has to act on it; "" = none."""


def requested_device(path: str, headers: Mapping[str, str]) -> str | AdmissionRefusal:
    """Id of the device that an upgrade request is for. Names of ``headers`` are lower case."""
    match = _PATH.fullmatch(path)
    if match is None:
        return AdmissionRefusal(404, "devices connect to /v1/{device_id}")
    if "origin" in headers:
        return AdmissionRefusal(403, "browsers may not connect here (the request has an Origin)")
    offered = [name.strip() for name in headers.get("sec-websocket-protocol", "").split(",")]
    if SUBPROTOCOL not in offered:
        return AdmissionRefusal(400, f"offer the WebSocket subprotocol {SUBPROTOCOL}")
    return match[1]


def identify(
    device_id: str,
    token: str | None,
    certificate_names: Collection[str],
    registry: Registry,
) -> Admitted | AdmissionRefusal:
    """Check that a request speaks for the device.

    ``certificate_names`` are the names in a client certificate that TLS has verified; empty = none
    was shown. A token is refused in the same words and time whether or not the device exists.
    """
    if not certificate_names and token is None:
        return AdmissionRefusal(401, "send `Authorization: Bearer <token>` or a client certificate")
    if certificate_names and device_id not in certificate_names:
        return AdmissionRefusal(403, f"the certificate is not that of {device_id}")
    entry = registry.device(device_id)
    if not certificate_names and not _is_token_of(entry and entry[0], token or ""):
        return AdmissionRefusal(
            401,
            f"device {device_id} with this token is not in the registry (see `vpp assets import`)",
        )
    if entry is None:
        return AdmissionRefusal(
            403, f"device {device_id} is not in the registry (see `vpp assets import`)"
        )
    return Admitted(*entry)


def refusal_of_revoked(admitted: Admitted, revocations: Revocations) -> AdmissionRefusal | None:
    """The refusal of a device whose certificate, or token, is older than its revocation."""
    device_id, shown = admitted.device.device_id, admitted.certificate
    if not revocations.concerns(device_id, shown.begins_ms if shown else None):
        return None
    reason = f"device {device_id} was revoked: {new_code(device_id)}"
    return AdmissionRefusal(403, reason, code=REFUSED_REVOKED)


def refusal_of_planned(site: Site) -> AdmissionRefusal | None:
    """The refusal of a device of a site that is only planned; it is no failed login."""
    if site.state != "planned":
        return None
    hint = f"`vpp assets state {site.site_id} commissioning` lets its devices connect"
    return AdmissionRefusal(403, f"site {site.site_id} is only planned: {hint}")


def bearer(authorization: str) -> str | None:
    """The token of an Authorization header."""
    scheme, _, token = authorization.partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def _is_token_of(device: Device | None, token: str) -> bool:
    # An empty hash equals no digest: such a device may connect with a certificate only.
    known = device.token_sha256.lower() if device is not None else ""
    return hmac.compare_digest(token_hash(token).encode(), (known or _NO_DIGEST).encode())
