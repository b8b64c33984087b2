"""TLS for the gateway: its own certificate, and device certificates if a CA for them is set."""

import asyncio
import ssl

from vpp_streams.errors import SettingsError
from vpp_streams.settings import Settings


def tls_context(settings: Settings) -> ssl.SSLContext | None:
    """The server's context, or None where ``tls_cert`` is not set.

    With ``tls_client_ca`` a device may show a certificate instead of a token; one that this CA
    has not signed ends the TLS handshake. Raises `SettingsError` naming the file at fault.
    """
    cert, key, client_ca = settings.tls_cert, settings.tls_key, settings.tls_client_ca
    if cert is None:
        if key is not None or client_ca is not None:
            raise SettingsError("VPP_TLS_KEY and VPP_TLS_CLIENT_CA need VPP_TLS_CERT as well")
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        # Without a password an encrypted key would ask for one on the terminal.
        context.load_cert_chain(cert, key, password="")
    except OSError as error:  # ssl.SSLError is one
        raise SettingsError(
            f"VPP_TLS_CERT {cert} with VPP_TLS_KEY {key or '(in the same file)'} cannot be used:"
            f" {error}; both must be PEM, and the key must be the certificate's"
        ) from None
    if client_ca is not None:
        try:
            context.load_verify_locations(client_ca)
        except OSError as error:
            raise SettingsError(f"VPP_TLS_CLIENT_CA {client_ca} cannot be used: {error}") from None
        context.verify_mode = ssl.CERT_OPTIONAL
    return context


def certificate_names(transport: asyncio.BaseTransport) -> set[str]:
    """Common name and DNS and URI names of the verified client certificate; empty = none."""
    certificate = transport.get_extra_info("peercert") or {}
    subject = {
        value
        for rdn in certificate.get("subject", ())
        for name, value in rdn
        if name == "commonName"
    }
    alternative = {
        value for kind, value in certificate.get("subjectAltName", ()) if kind in ("DNS", "URI")
    }
    return subject | alternative
