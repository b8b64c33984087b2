"""TLS for the gateway: its own certificate, and device certificates if a CA for them is set.

A running gateway takes up files that change: renewed certificates, another CA, a new list of
revoked certificates. They hold for connections from then on, and a connection whose certificate is
on the list is closed. Revocations by `vpp ca revoke` need no file: they are read from Kafka.
"""

import asyncio
import re
import ssl
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple, Self

import structlog
from cryptography import x509

from vpp_streams.errors import SettingsError
from vpp_streams.settings import Settings

log = structlog.get_logger()

LOOK_S = 2.0
"""How often the files are looked at."""
_PEM_CRL = re.compile(b"-----BEGIN X509 CRL-----.*?-----END X509 CRL-----", re.DOTALL)


class _Stamp(NamedTuple):
    """What a file looks like from outside; changes with its content."""

    modified_ns: int
    size: int
    inode: int


class ReloadingContext(ssl.SSLContext):
    """A server's context whose new connections use the newest files that could be read."""

    _settings: Settings
    _newest: ssl.SSLContext
    _stamps: tuple[_Stamp | None, ...]
    revoked: frozenset[int]
    """Serial numbers on the list of revoked certificates (``tls_client_crl``)."""

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Raises `SettingsError` naming the file at fault."""
        made = cls(ssl.PROTOCOL_TLS_SERVER)
        made._settings = settings
        made._stamps = _stamps(settings)
        made._newest, made.revoked = _context(settings), _revoked(settings)
        return made

    def wrap_bio(self, *args: Any, **kwargs: Any) -> ssl.SSLObject:
        """As asyncio and uvloop begin each connection."""
        return self._newest.wrap_bio(*args, **kwargs)

    def reload(self) -> bool:
        """Take up files that have changed; what cannot be used is logged, and the old ones stay.

        Returns whether anything was taken up.
        """
        stamps = _stamps(self._settings)
        if stamps == self._stamps:
            return False
        self._stamps = stamps  # one error for each change, not for each look
        try:
            self._newest, self.revoked = _context(self._settings), _revoked(self._settings)
        except SettingsError as error:
            log.error("TLS files have changed and cannot be used", error=str(error))
            return False
        files = [str(path) for path in _files(self._settings)]
        log.info("TLS files have changed and are in use", files=files)
        return True

    async def reload_for_ever(self) -> None:
        """Look at the files every `LOOK_S`."""
        while True:
            await asyncio.sleep(LOOK_S)
            self.reload()


def tls_context(settings: Settings) -> ReloadingContext | None:
    """The server's context, or None where ``tls_cert`` is not set.

    With ``tls_client_ca`` a device may show a certificate instead of a token, and has to where
    ``tls_client`` is ``required``; one that this CA has not signed, or that ``tls_client_crl``
    revokes, ends the TLS handshake. Where it is ``off``, no certificate is requested. Raises
    `SettingsError` naming the file at fault.
    """
    needs_cert = settings.tls_key is not None or settings.tls_client_ca is not None
    if settings.tls_cert is None and needs_cert:
        raise SettingsError("VPP_TLS_KEY and VPP_TLS_CLIENT_CA need VPP_TLS_CERT as well")
    needs_ca = settings.tls_client == "required" or settings.tls_client_crl is not None
    if settings.tls_client_ca is None and needs_ca:
        raise SettingsError(
            "VPP_TLS_CLIENT=required and VPP_TLS_CLIENT_CRL need VPP_TLS_CLIENT_CA as well"
        )
    return None if settings.tls_cert is None else ReloadingContext.of(settings)


def _context(settings: Settings) -> ssl.SSLContext:
    cert, key, client_ca = settings.tls_cert, settings.tls_key, settings.tls_client_ca
    assert cert is not None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        # Without a password an encrypted key would ask for one on the terminal.
        context.load_cert_chain(cert, key, password="")
    except OSError as error:  # ssl.SSLError is one
        raise SettingsError(
            f"VPP_TLS_CERT {cert} with VPP_TLS_KEY {key or '(in the same file)'} cannot be used:"
            f" {error}; both must be PEM, and the key must be the certificate's"
        ) from None
    if client_ca is not None and settings.tls_client != "off":
        _load(context, "VPP_TLS_CLIENT_CA", client_ca)
        required = settings.tls_client == "required"
        context.verify_mode = ssl.CERT_REQUIRED if required else ssl.CERT_OPTIONAL
    if settings.tls_client_crl is not None:
        _load(context, "VPP_TLS_CLIENT_CRL", settings.tls_client_crl)
        if not context.cert_store_stats()["crl"]:
            raise SettingsError(f"VPP_TLS_CLIENT_CRL {settings.tls_client_crl}: no CRL in there")
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    return context


def _load(context: ssl.SSLContext, name: str, file: Path) -> None:
    try:
        context.load_verify_locations(file)
    except OSError as error:
        raise SettingsError(f"{name} {file} cannot be used: {error}") from None


def _revoked(settings: Settings) -> frozenset[int]:
    """Serial numbers on the list of revoked certificates."""
    file = settings.tls_client_crl
    if file is None:
        return frozenset()
    try:
        return frozenset(
            revoked.serial_number
            for pem in _PEM_CRL.findall(file.read_bytes())
            for revoked in x509.load_pem_x509_crl(pem)
        )
    except (OSError, ValueError) as error:
        raise SettingsError(f"VPP_TLS_CLIENT_CRL {file} cannot be used: {error}") from None


def _files(settings: Settings) -> Iterable[Path]:
    named = (
        settings.tls_cert,
        settings.tls_key,
        settings.tls_client_ca,
        settings.tls_client_crl,
    )
    return [path for path in named if path is not None]


def _stamps(settings: Settings) -> tuple[_Stamp | None, ...]:
    return tuple(_stamp(path) for path in _files(settings))


def _stamp(path: Path) -> _Stamp | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return _Stamp(found.st_mtime_ns, found.st_size, found.st_ino)
