"""The login of a configuration: by token, or by certificate."""

import random
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

from edge.clock import utc_ms
from edge.config import Config, ConfigError
from edge.identity.login import AgentLogin, TokenLogin

if TYPE_CHECKING:
    from edge.identity.certificate_login import Holder
    from edge.identity.files import IdentityFiles


def login_of(config: Config, rng: random.Random) -> AgentLogin:
    """The login of a configuration; its files are read. Raises `ConfigError`."""
    gateway = config.gateway
    try:
        if not gateway.certificate_file:
            return TokenLogin(_token(config), _tls(config))
        # Only who has a certificate needs the library for it, which takes 10 MB.
        from edge.identity.certificate_login import CertificateLogin  # noqa: PLC0415 - as above

        return CertificateLogin(holder_of(config), rng, utc_ms)
    except (OSError, ValueError) as error:
        raise ConfigError(f"[gateway] a certificate or key cannot be used ({error})") from None


def holder_of(config: Config) -> "Holder":
    """The device with its files, and where it renews its certificate."""
    from edge.identity.certificate_login import Holder  # noqa: PLC0415 - see `login_of`

    return Holder(
        device_id=config.gateway.device_id,
        files=files_of(config),
        enrol_url=config.gateway.enrol_url,
    )


def files_of(config: Config) -> "IdentityFiles":
    """The files of a home's identity, which need not exist yet."""
    from edge.identity.files import IdentityFiles  # noqa: PLC0415 - see `login_of`

    gateway = config.gateway
    return IdentityFiles(
        certificate=config.file(gateway.certificate_file),
        key=config.file(gateway.key_file),
        ca=_ca(config),
    )


def _token(config: Config) -> str:
    token = config.file(config.gateway.token_file).read_text(encoding="utf-8").strip()
    if not token or not token.isascii() or not token.isprintable():
        raise ConfigError(f"[gateway] token_file: {config.gateway.token_file} contains no token")
    return token


def _tls(config: Config) -> ssl.SSLContext | None:
    if not config.gateway.url.startswith("wss://"):
        return None
    return ssl.create_default_context(cafile=_ca(config))


def _ca(config: Config) -> Path | None:
    return config.file(config.gateway.ca_file) if config.gateway.ca_file else None
