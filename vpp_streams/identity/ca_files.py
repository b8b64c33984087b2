"""The authority's directory: its certificate ``ca.pem``, and its key ``ca.key`` where it signs.

Only the process that signs, and the commands that do, need the key. Everybody else needs the
certificate, which is public.
"""

import secrets
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from vpp_streams.domain.identity.authority import (
    SERIAL_BYTES,
    Authority,
    make_root,
    pem_of,
    serial_of,
    server_certificate,
    validity,
)
from vpp_streams.errors import InputError
from vpp_streams.process.private_files import write_private

CERTIFICATE, KEY = "ca.pem", "ca.key"
_OTHERS = 0o077
"""Bits of a file's mode that concern anybody but its owner."""


def create_authority(directory: Path, name: str, now_ms: int) -> Authority:
    """Make a new authority in a directory. Raises `InputError` where there is one already."""
    for file in (directory / CERTIFICATE, directory / KEY):
        if file.exists():
            raise InputError(
                f"{file} exists: an authority is made once, as every device's certificate depends"
                " on it; name another directory with VPP_CA"
            )
    authority = make_root(_new_key(), name, _new_serial(), now_ms)
    write_private(directory / KEY, key_pem(authority.key))
    write_private(directory / CERTIFICATE, pem_of(authority.certificate).encode())
    (directory / CERTIFICATE).chmod(0o644)
    return authority


def read_authority(directory: Path) -> Authority:
    """The authority with its key.

    Raises `InputError` where there is none, its files do not fit each other, or others than its
    owner can read the key.
    """
    certificate, file = read_root(directory), directory / KEY
    try:
        if file.stat().st_mode & _OTHERS:
            raise InputError(f"{file} can be read by others than its owner: chmod 600 {file}")
        key = load_pem_private_key(file.read_bytes(), None)
    except OSError as error:
        raise InputError(
            f"{file}: {error.strerror}; the authority signs only where its key is (VPP_CA)"
        ) from None
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise InputError(f"{file} is no private key in PEM: {error}") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or (
        key.public_key() != certificate.public_key()
    ):
        raise InputError(f"{file} is not the key of {directory / CERTIFICATE}")
    return Authority(certificate, key)


def read_root(directory: Path) -> x509.Certificate:
    """The authority's certificate. Raises `InputError` where there is none."""
    file = directory / CERTIFICATE
    try:
        return x509.load_pem_x509_certificate(file.read_bytes())
    except OSError as error:
        raise InputError(
            f"{file}: {error.strerror}; make an authority with `vpp ca init`, or name its directory"
            " with VPP_CA"
        ) from None
    except ValueError as error:
        raise InputError(f"{file} is no certificate in PEM: {error}") from None


def write_server_files(
    authority: Authority, names: list[str], directory: Path, *, now_ms: int, life_ms: int
) -> tuple[Path, Path]:
    """A server's new certificate and key, as ``server.pem`` and ``server.key`` in a directory.

    The key's file is written first, so a process that reads both meanwhile fails and tries again.
    """
    key = _new_key()
    certificate = server_certificate(
        authority, names, key.public_key(), _new_serial(), validity(now_ms, life_ms)
    )
    files = directory / "server.pem", directory / "server.key"
    write_private(files[1], key_pem(key))
    write_private(files[0], pem_of(certificate).encode())
    return files


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """A private key in PEM (PKCS #8), without a password."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _new_serial() -> int:
    return serial_of(secrets.token_bytes(SERIAL_BYTES))
